"""Memory of this process in pages of 2 MB instead of 4 kB. A leaf."""

from contextlib import contextmanager
import ctypes
import logging
import mmap
from pathlib import Path
import re
from typing import Iterator, List, NamedTuple, Set, Tuple

import numpy as np

HUGE = 2 << 20  # on x86-64, and on arm64 with pages of 4 kB
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # linux/mman.h; the second since Linux 6.1
FILLED = 0.5  # of a block; emptier ones would take more memory than they did
PRESENT = 63  # the bit of an entry in pagemap (Documentation/admin-guide/mm/pagemap.rst)
# Private memory that can be written and belongs to no file: what allocators hand out.
REGION = re.compile(r'(?P<low>[0-9a-f]+)-(?P<high>[0-9a-f]+) rw-p \S+ \S+ 0 *(?P<name>\S*)')
LOG = logging.getLogger(__name__)
NOT_OURS = ('[stack', '[vvar', '[vdso')


class HugePages(NamedTuple):
    """What was asked for, and what the kernel did."""

    megabytes: float  # that lie in huge pages now
    later: float  # MB that the kernel may move when it finds the time
    problem: str = ''

    def __str__(self) -> str:
        """Return it for the log."""
        if self.problem:
            return f'no huge pages: {self.problem}'
        return f'{self.megabytes:.0f} MB in huge pages' + (
            f', {self.later:.0f} MB may follow' if self.later else '')


@contextmanager
def in_huge_pages(wanted: bool) -> Iterator[None]:
    """Move what is allocated within the block into huge pages at its end, if `wanted`."""
    memory = NewMemory() if wanted else None
    yield
    if memory is not None:
        moved = memory.use_huge_pages()
        LOG.debug('%s', moved)


class NewMemory:
    """What this process allocates from now on: the weights of a policy, while it opens."""

    def __init__(self, proc: Path = Path('/proc/self')) -> None:
        """Note what is allocated already."""
        self._proc = proc
        self._before, self._problem = self._look()

    def use_huge_pages(self) -> HugePages:
        """
        Move what was allocated since into huge pages; the contents stay.

        A step that comes every 20 ms finds the processor's caches of addresses (TLB) emptied, and
        looks up each 4 kB of its weights again: see docs/tune.md for what that costs. Only
        blocks that are half in use are moved, so the process hardly grows. Before Linux 6.1 the
        kernel does it by itself, some MB a minute.
        """
        now, problem = self._look()
        if problem or self._problem:
            return HugePages(0.0, 0.0, problem or self._problem)
        blocks = sorted(now - self._before)
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        moved = sum(not madvise(block, HUGE, MADV_COLLAPSE) for block in blocks)
        left = 0 if moved else sum(not madvise(block, HUGE, MADV_HUGEPAGE) for block in blocks)
        return HugePages(moved * HUGE / 1e6, left * HUGE / 1e6)

    def _look(self) -> Tuple[Set[int], str]:
        """Return the blocks in use, or why they cannot be known."""
        if mmap.PAGESIZE != 4096:  # then a huge page is 32 or 512 MB
            return set(), f'pages are of {mmap.PAGESIZE >> 10} kB here'
        try:
            return set(_blocks(self._proc)), ''
        except OSError as error:
            return set(), f'{error.filename}: {error.strerror}'


def _blocks(proc: Path) -> List[int]:
    """Return the addresses of the aligned blocks of HUGE bytes that are in use."""
    found: List[int] = []
    with (proc / 'pagemap').open('rb') as pagemap:
        for low, high in _regions((proc / 'maps').read_text()):
            pagemap.seek(low // mmap.PAGESIZE * 8)
            entries = np.frombuffer(pagemap.read((high - low) // mmap.PAGESIZE * 8), np.uint64)
            if entries.size != (high - low) // mmap.PAGESIZE:
                continue  # the region has gone meanwhile
            filled = (entries >> np.uint64(PRESENT)).reshape(-1, HUGE // mmap.PAGESIZE).mean(1)
            found += [low + int(index) * HUGE for index in np.flatnonzero(filled >= FILLED)]
    return found


def _regions(maps: str) -> Iterator[Tuple[int, int]]:
    """Yield (low, high) of the whole blocks in each region of allocated memory."""
    for line in maps.splitlines():
        region = REGION.match(line)
        if region and not region['name'].startswith(NOT_OURS):
            low = -(-int(region['low'], 16) // HUGE) * HUGE
            high = int(region['high'], 16) // HUGE * HUGE
            if low < high:
                yield low, high
