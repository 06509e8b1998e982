"""Threads that report when one of them fails."""

import os
from threading import Event, Thread
import traceback
from typing import Callable, List

JOIN_S = 2.0


class Threads:
    """A group of threads that stop together, and whose failures are reported."""

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        """Call `on_failure` with one line about the failure, in the thread that failed."""
        self.stopping = Event()
        self._on_failure = on_failure
        self._threads: List[Thread] = []

    def start(self, name: str, work: Callable[[Event], None]) -> None:
        """Run `work(stopping)` in a thread; it has to return after `stopping` is set."""
        thread = Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> bool:
        """Stop all threads; return whether all of them have ended."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(JOIN_S)
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, name: str, work: Callable[[Event], None]) -> None:
        try:
            work(self.stopping)
        except BaseException as error:  # noqa: BLE001  # no thread may end silently
            if not self.stopping.is_set():
                self._on_failure(f'the {name} thread died of {describe(error)}')


def describe(error: BaseException) -> str:
    """Return an unexpected error in one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f' ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})' if frames else ''
    return f'{type(error).__name__}: {error}{place}'
