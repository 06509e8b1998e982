"""What a swap and a hang's recovery ask of the thread that drives; driving.loop has it."""

from concurrent.futures import Future
from threading import Event
from typing import Any, Callable, Protocol

REQUEST_TIMEOUT_S = 2.0  # far more than a cycle; who waits longer waits for a hang


class DrivingThread(Protocol):
    """The driving loop, as the policy's room sees it."""

    cycle: Any  # recent: the last Steps; watch: the stage in work
    settings: Any

    def run(self, stopping: Event) -> None:
        """Drive until `stopping`."""

    def request(self, action: Callable[[], Any]) -> 'Future[Any]':
        """Have `action` done between two cycles."""

    def between_cycles(self, action: Callable[[], Any]) -> Any:
        """Have `action` done between two cycles; return its result, or raise VlaNavError."""

    def is_receiving(self) -> bool:
        """Tell whether frames come in, fast enough to drive on."""

    def wait_for_cycle(self, timeout_s: float) -> Any:
        """Return the outcome of the next cycle; None if none ends in time."""

    def hang(self) -> str:
        """Name the stage that has not come back; empty if none."""
