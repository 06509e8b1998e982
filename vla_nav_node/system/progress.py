"""The progress bar of all verbs: on stderr, if it is a terminal, for long work. A leaf."""

from contextlib import contextmanager
import time
from typing import Callable, Iterable, Iterator, Optional, Sized, TypeVar

Item = TypeVar('Item')
Bar = Callable[[str, int], Callable[[int], None]]  # (title, total) -> advance(count)

AFTER_S = 2.0  # shorter work shows no bar
EVERY_S = 0.1  # between two drawings: measurements must not wait for a terminal


@contextmanager
def progress() -> Iterator[Bar]:
    """
    Yield a function that adds a bar and returns the function to advance it.

    A bar is drawn only when it advances, which is when nothing is measured. If stderr is not a
    terminal, nothing is written: a log gets no bars and no blank lines.
    """
    from rich.console import Console
    from rich.progress import Progress
    console = Console(stderr=True)
    # rich must not redirect stdout: results may be printed meanwhile.
    shown = Progress(auto_refresh=False, transient=True, console=console, redirect_stdout=False)
    due_s = time.monotonic() + AFTER_S if console.is_terminal else float('inf')
    drawn = False

    def draw() -> None:
        nonlocal due_s, drawn
        if time.monotonic() < due_s:
            return
        if not drawn:
            shown.start()
        drawn, due_s = True, time.monotonic() + EVERY_S
        shown.refresh()

    def bar(title: str, total: int) -> Callable[[int], None]:
        task = shown.add_task(title, total=total)
        draw()

        def advance(count: int) -> None:
            shown.advance(task, count)
            draw()
        return advance
    try:
        yield bar
    finally:
        if drawn:  # else rich would write a blank line
            shown.stop()


def track(items: Iterable[Item], title: str, total: Optional[int] = None) -> Iterator[Item]:
    """Yield `items` and show how many are done; `total` is for items without a length."""
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    with progress() as bar:
        advance = bar(title, total)
        for item in items:
            yield item
            advance(1)
