"""The parent's side of a trial's process."""

from typing import Any, cast

from .paced_worker import Open, PacedWorker, Rollout
from ..paired_blocks import Block
from ..trial import Trial
from ...models.runners.row_process import RowProcess

PATIENCE_S = 10.0  # for an answer, beside LATER times the time that it should take
LATER = 5.0


class TunedProcess(RowProcess):
    """A trial in a process of its own; every answer has a time limit."""

    worker = PacedWorker

    def __init__(self, trial: Trial, patience_s: float = PATIENCE_S) -> None:
        """Start it; call `wait` then, which raises BackendError."""
        self._patience_s = patience_s
        super().__init__(cast(Any, trial), wait=False)

    @property
    def open(self) -> Open:  # noqa: A003, RUF100
        """Return what it really is."""
        return cast(Open, self.opened)

    def warm_up(self, count: int) -> float:
        """Run steps back to back -> the median, ms."""
        return float(self._within(count, 'warm_up', count))

    def block(self, steps: int, settle: int, period_s: float) -> Block:
        """Run one block."""
        return cast(Block, self._within(steps + settle, 'block', steps, settle, period_s))

    def rollout(self, steps: int) -> Rollout:
        """Run from the zero state."""
        return cast(Rollout, self._within(steps, 'rollout', steps))

    def repeats(self, count: int) -> float:
        """Repeat one input."""
        return float(self._within(count, 'repeats', count))

    def _within(self, steps: int, method: str, *arguments: Any) -> Any:
        period_s = arguments[-1] if method == 'block' else 0.0
        self.ask(method, *arguments)
        return self.answer(self._patience_s
                           + LATER * steps * max(period_s, self.open.step_s))
