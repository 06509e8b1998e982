"""Tables for people: the same table on the terminal and in Markdown."""

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, List, Mapping, Optional, Union

LOG_WIDTH = 120  # columns, where the output is no terminal
Cell = Union[str, int, float, None]
Column = Union[str, Callable[[Any], Cell]]  # the path of a figure in a row, or a function of it
VERDICTS = {True: 'met', False: 'MISSED', None: 'not measured'}  # of a target
STYLES = {'met': 'green', 'MISSED': 'bold red', 'not measured': 'dim', 'NOT PASSED': 'bold red'}


@dataclass
class Table:
    """Rows of texts and numbers; the first column names the row."""

    title: str
    columns: List[str]
    rows: List[List[str]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self.rows.append([shown(cell) for cell in cells])

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        lines = [self.columns, ['---', *(['---:'] * (len(self.columns) - 1))], *self.rows]
        return '\n'.join([f'**{self.title}**', '',
                          *('| ' + ' | '.join(map(_escape, line)) + ' |' for line in lines)])

    def print(self) -> None:  # noqa: A003, RUF100
        """Print the table on the terminal."""
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text
        drawn = Drawn(title=self.title, title_justify='left')
        for number, name in enumerate(self.columns):
            drawn.add_column(name, justify='right' if number else 'left', overflow='fold')
        for row in self.rows:
            drawn.add_row(*(Text(cell, STYLES.get(cell, '')) for cell in row))
        console = Console()
        if not console.is_terminal:
            console.width = LOG_WIDTH
        console.print(drawn)


def table_of(title: str, rows: Iterable[Any], columns: Mapping[str, Column]) -> Table:
    """Return a table with a row for each of `rows`; `columns` are by heading."""
    table = Table(title, list(columns))
    for row in rows:
        table.add(*(at(row, column) if isinstance(column, str) else column(row)
                    for column in columns.values()))
    return table


def at(figures: Any, path: str) -> Any:
    """Return the figure at a path such as latency.p50."""
    for name in path.split('.'):
        figures = figures[name]
    return figures


def shown(cell: Cell) -> str:
    """Return a cell as text: a number with three significant digits, None as a dash."""
    if cell is None:
        return '-'
    if not isinstance(cell, float):
        return str(cell)
    if cell != 0.0 and abs(cell) < 0.001:
        return f'{cell:.1e}'
    return f'{cell:.0f}' if abs(cell) >= 100 else f'{cell:.3g}'


def times(ratio: Optional[float]) -> str:
    """Return a ratio as text."""
    return '-' if ratio is None else f'{shown(float(ratio))} x'


def _escape(cell: str) -> str:
    return cell.replace('|', r'\|')
