"""The memory that this process has for itself alone."""

from pathlib import Path
from typing import NamedTuple

STATUS = Path('/proc/self/status')


class Memory(NamedTuple):
    """Resident memory (RSS) in MB (10^6 bytes): now, and the most there has been."""

    now: float
    most: float


def own_memory() -> Memory:
    """
    Read the memory of this process.

    RSS counts what is mapped here whoever else has it mapped too, so that it does not depend on
    how many others run beside us, as proportional or unique sizes do.
    """
    return parse_status(STATUS.read_text())


def parse_status(text: str) -> Memory:
    """Read VmRSS and VmHWM, in kB of 1024 bytes, from the text of /proc/PID/status."""
    values = {line.split(':')[0]: int(line.split()[1]) * 1024 / 1e6
              for line in text.splitlines() if line.startswith(('VmRSS:', 'VmHWM:'))}
    return Memory(values['VmRSS'], values['VmHWM'])
