"""Find the known symptoms in a log, causes first, and list what is not known."""

from collections import defaultdict
from dataclasses import dataclass, field
import re
import sys
from typing import Dict, Iterable, List, Mapping, Sequence, Set, Tuple, Union

from .catalogue import Catalogue, catalogue, platform_lines, render, Symptom
from .log_text import BLOCK, blocks_of, blocks_of_file, plain, View, views_of, without_repeats
from .safe_pattern import MOST_TRIES, SafePattern
from ...errors import BackendError, SettingError, VlaNavError

MOST_UNKNOWN = 10
MOST_CANDIDATES = 400  # lines that look like errors and are kept until all symptoms are known
LONGEST_SHOWN = 240
# Lines that report an error. Words in the middle of a sentence, such as "0 errors", do not.
ERROR_WORDS = ('error', 'exception', 'fatal', 'fail', 'fault', 'abort', 'cannot', 'killed',
               'undefined', 'what():')
ERROR_LINE = re.compile(
    r'\b\w{0,60}(?:error|exception)\b ?[:(\]]|\[(?:error|fatal|e)\]|\b(?:fatal|critical)\b ?:'
    r'|\bfailed (?:to|with)\b|\bfailure\b.{0,40}:|terminate called|what\(\):|segmentation fault'
    r'|core dumped|undefined (?:symbol|reference)|cannot (?:open|find|allocate|import|load)'
    r'|\berrno\b|\bkilled\b$|\baborted\b$')
HARMLESS_LINE = re.compile(r'\b(?:0|no) errors?\b|\berror ?[:=] ?(?:0|none|null|success)\b')


@dataclass(frozen=True)
class Finding:
    """A known symptom in a log."""

    name: str
    cause: str
    remedy: str
    source: str
    line: str  # the first that shows it
    line_number: int  # from 1
    follows: Sequence[str] = ()  # of the other findings, those that cause this one
    platforms: Sequence[Tuple[str, str]] = ()  # what else helps, with the platform
    harmless: bool = False


@dataclass(frozen=True)
class Explanation:
    """What a log says: the known symptoms, each behind its causes, and the other errors."""

    findings: Sequence[Finding]
    unknown: Sequence[str]
    facts: Mapping[str, str]


@dataclass
class _Search:
    """What was found so far."""

    known: Catalogue
    found: Dict[str, Tuple[int, int, str, Dict[str, str]]] = field(default_factory=dict)
    facts: Dict[str, str] = field(default_factory=dict)
    candidates: Dict[str, str] = field(default_factory=dict)  # by the line without its numbers
    tries: Dict[SafePattern, List[int]] = field(
        default_factory=lambda: defaultdict(lambda: [MOST_TRIES]))


def explain(text: Union[str, bytes]) -> Explanation:
    """Return the symptoms of a log; raise SymptomError if the data is wrong."""
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'replace')
    return _explain(blocks_of(text), len(text) <= BLOCK)


def explain_file(name: str) -> Explanation:
    """Return the symptoms of a file, `-` for standard input; raise SettingError without it."""
    try:
        if name == '-':
            return _explain(blocks_of_file(sys.stdin.buffer), True)
        with open(name, 'rb') as file:
            return _explain(blocks_of_file(file), True)
    except OSError as error:
        raise SettingError(f'{name} cannot be read: {error.strerror}', 'a log, or -') from None


def explained(error: Exception, message: str) -> str:
    """Return the message of a backend's or a library's error, explained if it is not already."""
    if 'fix: ' in message or (isinstance(error, VlaNavError)
                              and not isinstance(error, BackendError)):
        return message
    found = [one for one in explain(message).findings if not one.harmless]
    return f'{message}; cause: {found[0].cause}; fix: {found[0].remedy}' if found else message


def _explain(blocks: Iterable[List[str]], unwrap: bool) -> Explanation:
    search, before = _Search(catalogue()), 0
    seen: Set[int] = set()
    for number, lines in enumerate(blocks):
        if number:  # long logs say the same over and over
            lines = without_repeats(lines, seen)
        covered: Set[int] = set()
        for view in views_of(lines, unwrap and number == 0):
            _find(search, view, before, covered)
        _collect_errors(search, lines, covered)
        before += len(lines)
    return Explanation(_findings(search), _unknown(search), search.facts)


def _find(search: _Search, view: View, before: int, covered: Set[int]) -> None:
    """Add the facts and symptoms that are new in this view."""
    for name, patterns in search.known.facts.items():
        if name not in search.facts:
            _find_fact(search, view, name, patterns)
    for symptom in search.known.symptoms.values():
        if symptom.name not in search.found:
            _find_symptom(search, view, symptom, before, covered)


def _find_fact(search: _Search, view: View, name: str, patterns: Sequence[SafePattern]) -> None:
    for pattern in patterns:
        match = pattern.search(view, search.tries[pattern])
        if match:
            start, end = match.span('value' if 'value' in match.groupdict() else 0)
            search.facts[name] = view.shown[start:end]
            return


def _find_symptom(search: _Search, view: View, symptom: Symptom, before: int,
                  covered: Set[int]) -> None:
    for pattern in symptom.patterns:
        match = pattern.search(view, search.tries[pattern])
        if match:
            first, last = view.line_at(match.start()), view.line_at(match.end() - 1)
            covered.update(range(first, last + 1))
            facts = {name: view.shown[slice(*match.span(name))] for name in match.groupdict()
                     if match.group(name) is not None}
            end = view.starts[last + 1] if last + 1 < len(view.starts) else len(view.shown)
            search.found[symptom.name] = (
                before + first, match.start(), _short(view.shown[view.starts[first]:end]), facts)
            return


def _short(line: str) -> str:
    line = ' '.join(line.split())
    return line if len(line) <= LONGEST_SHOWN else line[:LONGEST_SHOWN] + '...'


def _collect_errors(search: _Search, lines: Sequence[str], covered: Set[int]) -> None:
    """Keep lines that look like errors; which of them are known is decided at the end."""
    for number, line in enumerate(lines):
        if len(search.candidates) >= MOST_CANDIDATES:
            return
        low = plain(line)
        if (number not in covered and any(word in low for word in ERROR_WORDS)
                and ERROR_LINE.search(low) and not HARMLESS_LINE.search(low)):
            search.candidates.setdefault(re.sub(r'\d+', '#', low), line)


def _unknown(search: _Search) -> List[str]:
    patterns = [pattern for name in search.found
                for pattern in search.known.symptoms[name].patterns]
    unknown = [_short(line) for line in search.candidates.values()
               if not any(pattern.matches(plain(line)) for pattern in patterns)]
    return unknown[:MOST_UNKNOWN]


def _findings(search: _Search) -> List[Finding]:
    return [_finding(search, search.known.symptoms[name]) for name in _causes_first(search)]


def _finding(search: _Search, symptom: Symptom) -> Finding:
    number, _, line, own = search.found[symptom.name]
    facts = {**search.facts, **own}
    case = symptom.case(facts)
    return Finding(symptom.name, render(case.cause, facts), render(case.remedy, facts),
                   symptom.source, line, number + 1, _causes(search, symptom),
                   platform_lines(symptom), symptom.harmless)


def _causes(search: _Search, symptom: Symptom) -> List[str]:
    return [name for name in symptom.follows if name in search.found]


def _causes_first(search: _Search) -> List[str]:
    """Return the names in the order of the log, each behind what causes it, harmless ones last."""
    known = search.known.symptoms
    waiting = sorted(search.found,
                     key=lambda name: (known[name].harmless, *search.found[name][:2]))
    ordered: List[str] = []
    while waiting:
        following = next(name for name in waiting
                         if not set(waiting).intersection(known[name].follows))
        ordered.append(following)
        waiting.remove(following)
    return ordered
