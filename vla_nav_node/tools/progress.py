"""A progress bar that costs nothing while something is measured."""

from contextlib import contextmanager
from typing import Callable, Iterator

from rich.progress import Progress

Bar = Callable[[str, int], Callable[[int], None]]  # title, total -> what moves it on


@contextmanager
def progress() -> Iterator[Bar]:
    """
    Give a function that makes a bar, and gives the function that moves it on.

    It draws only when it is moved on, which is when nothing is measured.
    """
    with Progress(auto_refresh=False, transient=True) as shown:
        def bar(title: str, total: int) -> Callable[[int], None]:
            task = shown.add_task(title, total=total)
            shown.refresh()

            def advance(count: int) -> None:
                shown.advance(task, count)
                shown.refresh()
            return advance
        yield bar
