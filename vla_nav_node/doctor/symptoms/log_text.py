"""A log as blocks of clean lines, and the texts in which patterns are searched."""

from bisect import bisect_right
from itertools import accumulate
import re
from typing import BinaryIO, Iterator, List, NamedTuple, Sequence, Set

BLOCK = 1 << 20  # characters in memory at once
LONGEST_LINE = 4000  # longer ones are cut
# A terminal or a chat breaks lines at its width. Lines are put together again if they are longer
# than this, in logs of one block; larger ones come from files, which nothing has wrapped.
WRAPPED = 60
# Stamps and measured values; error codes and versions of libraries are shorter.
LONG_NUMBER = re.compile(r'\d+\.\d+|\d{4,}')
MOST_SHAPES = 200_000  # of lines that are remembered
ANSI = re.compile(r'\x1b(?:\[[0-9;?]{0,20}[ -/]{0,4}[@-~]|[@-Z\\^_]|\][^\x07\x1b]{0,200}\x07?)')
# Typographic quotes, frames drawn around tracebacks, what separates words.
SAME = str.maketrans({**dict.fromkeys('“”‘’`´"', "'"), **dict.fromkeys('│┃║', ' '), '\r': '\n',
                      '\x0b': '\n', '\x0c': '\n', '\t': ' ', '\xa0': ' ', '\0': None})


class View(NamedTuple):
    """A text as it is, in lower case ASCII for searching, and where each of its lines starts."""

    shown: str
    text: str
    starts: Sequence[int]

    def line_at(self, position: int) -> int:
        """Return the number of the line that holds a position."""
        return bisect_right(self.starts, position) - 1


def blocks_of(text: str) -> Iterator[List[str]]:
    """Yield the clean lines of a text, block by block."""
    start = 0
    while start < len(text):
        end = text.rfind('\n', start, start + BLOCK) + 1 if start + BLOCK < len(text) else 0
        end = end or start + BLOCK
        yield clean_lines(text[start:end])
        start = end


def blocks_of_file(file: BinaryIO) -> Iterator[List[str]]:
    """Yield the clean lines of a file, block by block, whatever its bytes are."""
    rest = b''
    while True:
        data = file.read(BLOCK)
        whole = rest + data
        end = (whole.rfind(b'\n') + 1 or len(whole)) if data else len(whole)
        if end:
            yield clean_lines(whole[:end].decode('utf-8', 'replace'))
        rest = whole[end:]
        if not data:
            return


def clean_lines(text: str) -> List[str]:
    """Return the lines without colours and repeated spaces."""
    text = text.replace('\r\n', '\n').translate(SAME)
    if '\x1b' in text:
        text = ANSI.sub('', text)
    while '  ' in text:
        text = text.replace('  ', ' ')
    return [piece for line in text.removesuffix('\n').split('\n')
            for piece in _pieces(line.strip())]


def without_repeats(lines: Sequence[str], seen: Set[int]) -> List[str]:
    """Return the lines, '' for each that differs from a seen one in long numbers only."""
    shapes = [hash(shape) for shape in LONG_NUMBER.sub('#', '\n'.join(lines)).split('\n')]
    new = []
    for line, shape in zip(lines, shapes):
        new.append('' if shape in seen else line)
        if len(seen) < MOST_SHAPES:
            seen.add(shape)
    return new


def _pieces(line: str) -> List[str]:
    if len(line) <= LONGEST_LINE:
        return [line]
    return [line[start:start + LONGEST_LINE] for start in range(0, len(line), LONGEST_LINE)]


def plain(line: str) -> str:
    """Return a text in lower case ASCII, of the same length."""
    return line.encode('ascii', 'replace').decode('ascii').lower()


def views_of(lines: Sequence[str], unwrap: bool) -> List[View]:
    """Return the lines as they are, and if `unwrap`, as if a terminal had wrapped long ones."""
    views = [_view(lines, ['\n'] * len(lines))]
    if unwrap and any(len(line) >= WRAPPED for line in lines[:-1]):
        views += [_view(lines, [joint if len(line) >= WRAPPED else '\n' for line in lines])
                  for joint in ('', ' ')]
    return views


def _view(lines: Sequence[str], ends: Sequence[str]) -> View:
    parts = [line + end for line, end in zip(lines, ends)]
    starts = [0, *accumulate(map(len, parts))][:-1]
    shown = ''.join(parts)
    return View(shown, plain(shown), starts)
