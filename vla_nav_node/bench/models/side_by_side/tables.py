"""A table for people: the same one on the terminal and in Markdown."""

from dataclasses import dataclass, field
from typing import List, Optional, Union

LOG_WIDTH = 120  # columns, where the output goes to no terminal
Cell = Union[str, int, float, None]


@dataclass
class Table:
    """Rows of texts and numbers; the first column is what the row is about."""

    title: str
    columns: List[str]
    rows: List[List[str]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self.rows.append([shown(cell) for cell in cells])

    def markdown(self) -> str:
        """Return it as GitHub's Markdown has tables."""
        lines = [self.columns, ['---', *(['---:'] * (len(self.columns) - 1))], *self.rows]
        return '\n'.join([f'**{self.title}**', '',
                          *('| ' + ' | '.join(map(_escape, line)) + ' |' for line in lines)])

    def print(self) -> None:  # noqa: A003, RUF100
        """Print it on the terminal."""
        from rich.console import Console
        from rich.table import Table as Drawn
        drawn = Drawn(title=self.title, title_justify='left')
        for number, name in enumerate(self.columns):
            drawn.add_column(name, justify='right' if number else 'left', overflow='fold')
        for row in self.rows:
            drawn.add_row(*(cell.replace('[', r'\[') for cell in row))
        console = Console()
        if not console.is_terminal:
            console.width = LOG_WIDTH
        console.print(drawn)


def shown(cell: Cell) -> str:
    """Write a number with three digits that count; a dash for none."""
    if cell is None:
        return '-'
    if not isinstance(cell, float):
        return str(cell)
    if cell != 0.0 and abs(cell) < 0.001:
        return f'{cell:.1e}'
    return f'{cell:.0f}' if abs(cell) >= 100 else f'{cell:.3g}'


def times(number: Optional[float]) -> str:
    """Write a ratio."""
    return '-' if number is None else f'{shown(float(number))} x'


def _escape(cell: str) -> str:
    return cell.replace('|', r'\|')
