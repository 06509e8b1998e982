"""Threads that end the process when one of them dies."""

import os
from threading import Event, Thread
import traceback
from typing import Callable, List

JOIN_S = 2.0


class Threads:
    """Start threads, stop them together, and report the first that fails."""

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        """Take what to call, in the failing thread, with one line that says what happened."""
        self.stopping = Event()
        self._on_failure = on_failure
        self._threads: List[Thread] = []

    def start(self, name: str, work: Callable[[Event], None]) -> None:
        """Run `work(stopping)` in a thread; it has to return once `stopping` is set."""
        thread = Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> bool:
        """Stop all threads; tell whether every one came back."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(JOIN_S)
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, name: str, work: Callable[[Event], None]) -> None:
        try:
            work(self.stopping)
        except BaseException as error:  # noqa: BLE001  # no thread may be missing in silence
            if not self.stopping.is_set():
                self._on_failure(f'the {name} thread died of {describe(error)}')


def describe(error: BaseException) -> str:
    """Return an unforeseen error in one line, with the place it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f' ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})' if frames else ''
    return f'{type(error).__name__}: {error}{place}'
