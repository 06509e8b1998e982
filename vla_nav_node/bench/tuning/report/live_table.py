"""The table that is shown while a tuning runs, on stderr if it is a terminal."""

from contextlib import contextmanager
from typing import Any, Callable, Iterator, Sequence

from ..search import Entry, ranked
from ...models.runners.row_process import Budget

MOST = 12  # rows
Show = Callable[[str, Sequence[Entry]], None]


@contextmanager
def live_table(budget: Budget) -> Iterator[Show]:
    """
    Yield a function that shows what comes next and the best rows so far.

    It draws between two measurements only; in a log it writes nothing.
    """
    from rich.console import Console
    from rich.live import Live
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda doing, entries: None
        return
    with Live(console=console, auto_refresh=False, transient=True,
              redirect_stdout=False) as live:
        yield lambda doing, entries: live.update(_table(doing, entries, budget), refresh=True)


def _table(doing: str, entries: Sequence[Entry], budget: Budget) -> Any:
    from rich.table import Table
    from rich.text import Text
    minutes, seconds = divmod(round(budget.left_s), 60)
    table = Table(title=Text(f'{doing}; at most {minutes}:{seconds:02} left'),
                  title_justify='left')
    for name in ('settings', 'p50 / baseline', 'p99 / baseline', 'CPU / baseline', 'so far'):
        table.add_column(name, justify='left' if name in ('settings', 'so far') else 'right')
    for entry in ranked(entries)[:MOST]:
        if entry.found:
            found = entry.found
            table.add_row(Text(entry.trial.name), *(f'{ratio.value:.2f}' for ratio in (
                found.p50, found.p99, found.cpu)), entry.status)
    return table
