"""
The memory that a process holds, as Linux reports it.

Resident memory (RSS) counts what is mapped, whether others have it mapped or not, so it does not
depend on how many others run beside it, as proportional (PSS) or unique sizes do. The peak is from
/proc and not from getrusage, whose peak of a child begins at its parent's.
"""

from pathlib import Path
from typing import Dict, NamedTuple

from ..errors import VlaNavError


class Memory(NamedTuple):
    """Resident memory (RSS) in MB (10^6 bytes): now, and at its peak."""

    now: float
    most: float


def own_memory() -> Memory:
    """Return the resident memory of this process."""
    sizes = parse_sizes(Path('/proc/self/status').read_text())
    return Memory(sizes['VmRSS'], sizes['VmHWM'])


def memory_of(pid: int) -> Dict[str, float]:
    """Return RSS and PSS of a process in MB; raise VlaNavError if they cannot be read."""
    path = Path(f'/proc/{pid}/smaps_rollup')
    try:
        sizes = parse_sizes(path.read_text())
    except OSError as error:
        raise VlaNavError(f'{path} cannot be read: {error.strerror}',
                          'Linux 4.14 or newer, and a process of the same user') from None
    return {'rss_mb': sizes['Rss'], 'pss_mb': sizes['Pss']}


def parse_sizes(text: str) -> Dict[str, float]:
    """Return the sizes in a text of /proc, where they are in kB of 1024 bytes, in MB."""
    words = (line.split() for line in text.splitlines())
    return {line[0].rstrip(':'): int(line[1]) * 1024 / 1e6
            for line in words if len(line) == 3 and line[2] == 'kB'}
