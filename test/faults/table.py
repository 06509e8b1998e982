"""Write the table of docs/faults.md from the definitions and the measured times."""

from pathlib import Path
import re
from typing import Dict, List

from . import by_camera, by_policy, by_system
from .fault import Fault, Measured

FAULTS: List[Fault] = [*by_camera.FAULTS, *by_policy.FAULTS, *by_system.FAULTS]
DOCUMENT = Path(__file__).parents[2] / 'docs' / 'faults.md'
BEGIN, END = '<!-- make faults writes from here -->\n', '<!-- to here -->\n'
HEAD = ('| fault | how it is brought about | what the node does | zero promised within, ms '
        '| measured, ms | diagnostics say | after, ms |\n|---|---|---|---|---|---|---|\n')
NOT_MEASURED = 'not measured'


def described(fault: Fault) -> List[str]:
    """Return the cells that do not depend on the machine."""
    return [fault.name, fault.injected, fault.reaction.words, fault.promise(),
            fault.diagnosis().replace('|', '\\|')]


def committed() -> Dict[str, List[str]]:
    """Return the cells of the rows in the document, by the name of the fault."""
    rows = re.findall(r'^\| (.*) \|$', _table(DOCUMENT.read_text('utf-8')), re.MULTILINE)
    return {cells[0]: cells for cells in (row.split(' | ') for row in rows[1:])}


def write(measured: Dict[str, Measured]) -> None:
    """Write the table; faults that were not measured keep their figures."""
    text, before = DOCUMENT.read_text('utf-8'), committed()
    rows = ''.join(_row(fault, measured.get(fault.name), before.get(fault.name))
                   for fault in FAULTS)
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    DOCUMENT.write_text(head + BEGIN + HEAD + rows + END + tail, 'utf-8')


def _row(fault: Fault, measured, before) -> str:
    name, injected, words, promise, diagnosis = described(fault)
    if measured is not None:
        zero, after = _ms(measured.zero_s), _ms(measured.diagnosed_s)
    elif before is not None:
        zero, after = before[4], before[6]
    else:
        zero = after = NOT_MEASURED
    return '| ' + ' | '.join([name, injected, words, promise, zero, diagnosis, after]) + ' |\n'


def _ms(seconds) -> str:
    return '' if seconds is None else f'{1e3 * seconds:.0f}'


def _table(text: str) -> str:
    return text.split(BEGIN)[1].split(END)[0]
