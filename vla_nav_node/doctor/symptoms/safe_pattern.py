"""Regular expressions that stay fast on any text: fixed words first, bounded gaps."""

import re
from typing import Iterator, List, Match, Optional

from .log_text import View

GAP = '.{0,160}?'  # what `.*` in the data means
AROUND = 700  # characters on either side of the fixed word in which a match must lie
SHORTEST_WORD = 3
MOST_TRIES = 2000  # searches of one pattern that may find nothing in one log
# What ends a run of fixed characters. An escaped punctuation mark is a fixed character.
TOKEN = re.compile(
    r'\\(?P<fixed>[^a-zA-Z0-9])|(?P<special>\\[a-zA-Z0-9]|\[(?:\\.|[^\]\\])*\]|[.^$|()])'
    r"|(?P<quote>')|(?P<repeat>[*+?]\??|\{\d*,?\d*\}\??)|(?P<plain>.)", re.DOTALL)
REPEAT = re.compile(r'(\\[dw]|\])([*+])(?!\?)')  # bounded when it is compiled
BOUNDS = {'*': '{0,60}', '+': '{1,60}'}
REFUSED = re.compile(r'(?<!\\)\)[*+]|\{\d+,\}|\\[A-Z]')


class SafePattern:
    """
    A pattern of the data: lower case, a single space between words, `'` for any quote or none.

    Raise ValueError if it has no fixed word or could take long.
    """

    def __init__(self, source: str) -> None:
        """Compile the pattern."""
        if REFUSED.search(source):
            raise ValueError('a group repeats without a bound, or an escape is a capital letter')
        self.words = sorted(set(_words(source)), key=len, reverse=True)
        if not self.words or len(self.words[0]) < SHORTEST_WORD:
            raise ValueError(f'no fixed word of {SHORTEST_WORD} characters outside of groups')
        bounded = REPEAT.sub(lambda found: found[1] + BOUNDS[found[2]],
                             re.sub(r'(?<!\\)\.[*+]\??', lambda _: GAP, source))
        self.regex = re.compile(
            bounded.lower().replace('(?p<', '(?P<').replace("'", "'?"), re.ASCII)

    def search(self, view: View, tries: List[int]) -> Optional[Match[str]]:
        """Return the first match; `tries` holds how many searches this log may still take."""
        for low, high in self._places(view.text):
            if tries[0] <= 0:
                return None
            tries[0] -= 1
            match = self.regex.search(view.text, low, high)
            if match:
                return match
        return None

    def _places(self, text: str) -> Iterator[tuple]:
        """Yield the stretches of text that hold all fixed words."""
        longest, *others = self.words
        at = text.find(longest)
        while at >= 0:
            low, high = max(0, at - AROUND), at + AROUND
            if all(text.find(word, low, high) >= 0 for word in others):
                yield low, high
            at = text.find(longest, at + len(longest))

    def matches(self, text: str) -> bool:
        """Return whether a short text in lower case matches."""
        return all(word in text for word in self.words) and bool(self.regex.search(text))


def _words(source: str) -> Iterator[str]:
    """Yield the runs of characters that every match contains, in lower case."""
    depth, run = 0, ''
    if _has_choice(source):
        return
    for token in TOKEN.finditer(source):
        kind, text = token.lastgroup, token.group(token.lastgroup or 0)
        if kind in ('fixed', 'plain') and not depth:
            run += text
            continue
        # What is repeated may be missing: it is no part of the run.
        yield from filter(None, [(run[:-1] if kind == 'repeat' else run).lower()])
        run, depth = '', depth + (text == '(') - (text == ')')
    yield run.lower()


def _has_choice(source: str) -> bool:
    """Return whether `|` stands outside of all groups: then nothing is in every match."""
    depth = 0
    for token in TOKEN.finditer(source):
        if token.lastgroup == 'special':
            depth += (token.group() == '(') - (token.group() == ')')
            if token.group() == '|' and not depth:
                return True
    return False
