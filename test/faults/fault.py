"""What a row of the fault matrix is: how it is brought about, and what has to happen then."""

from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Tuple

from vla_nav_node.driving.diagnostics.statuses import ERROR, OK, WARN

from .processes import wait_for
from .scene import PROMISE_S, Scene, SLACK_S

LEVELS = {OK: 'OK', WARN: 'WARN', ERROR: 'ERROR'}
DRIVE_S = 0.5  # how long it is watched whether the robot drives on


class Line(NamedTuple):
    """Which status of diagnostics tells of the fault, at which levels, and in which words."""

    status: str
    level: int
    text: str


class Reaction(NamedTuple):
    """What the node does, in the words of the table, and the check of it."""

    words: str
    check: Callable[[Scene, float], Optional[float]]  # gives when the first zero came, or None


def _stands(scene: Scene, at: float) -> float:
    return scene.stands(at)


def _skips(scene: Scene, at: float) -> float:
    zero = wait_for(lambda: scene.zeros(at), 'a zero')[0]
    scene.drives(zero)
    return zero


def _drives(scene: Scene, at: float) -> None:
    scene.drives(at + DRIVE_S)
    assert len(scene.moving(at)) > 0.5 * len(scene.zeros(at))


def _ends(scene: Scene, at: float) -> float:
    status = scene.node.status()
    zero = scene.ends_with_zero(at)
    assert status == 0, f'exit status {status}'
    return zero


STANDS = Reaction('stands still until it is over', _stands)
SKIPS = Reaction('zero for each such image, drives on by the others', _skips)
DRIVES = Reaction('drives on', _drives)
ENDS = Reaction('sends zero and ends', _ends)


@dataclass(frozen=True)
class Fault:
    """One row."""

    name: str
    injected: str  # how, in the words of the table
    make: Callable[[Scene], float]  # brings it about; gives when it began (time.monotonic)
    reaction: Reaction
    line: Optional[Line]
    second_line: Optional[Line] = None
    promise_s: Optional[float] = PROMISE_S  # zero at the wheels within this; None: no stop
    mend: Callable[[Scene], None] = lambda scene: None  # what `Scene.ready` does not mend
    needs: Tuple[str, ...] = ()  # Python packages without which it cannot be brought about

    def promise(self) -> str:
        """Return the promised time as the table has it."""
        return '' if self.promise_s is None else f'{1e3 * self.promise_s:.0f}'

    def told(self) -> str:
        """Return the line of diagnostics as the table has it."""
        if self.line is None:
            return 'nobody is left to tell; the last lines go stale'
        return '; '.join(f'{line.status} {LEVELS[line.level]}: {line.text}'
                         for line in (self.line, self.second_line) if line is not None)


class Measured(NamedTuple):
    """What came out of one fault, in seconds since it began."""

    zero_s: Optional[float]
    told_s: Optional[float]


def try_out(scene: Scene, fault: Fault) -> Measured:
    """Bring the fault about in a driving scene, hold it against its row, and mend it."""
    scene.ready()
    at = fault.make(scene)
    try:
        zero = fault.reaction.check(scene, at)
        told = None if fault.line is None else scene.told(fault.line, at)
        if fault.second_line is not None:
            scene.told(fault.second_line, at)
        if fault.promise_s is not None:
            assert zero is not None and zero - at < fault.promise_s + SLACK_S
    finally:
        fault.mend(scene)
    scene.ready()
    scene.check()
    return Measured(None if zero is None else max(zero - at, 0.0),
                    None if told is None else max(told - at, 0.0))
