"""A row of the fault matrix: how to cause the fault, and how the node must react."""

from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Tuple

from vla_nav_node.driving.diagnostics.statuses import ERROR, OK, WARN

from .processes import wait_for
from .scene import PROMISE_S, Scene, SLACK_S

LEVELS = {OK: 'OK', WARN: 'WARN', ERROR: 'ERROR'}
DRIVE_S = 0.5  # how long the robot must drive on


class Line(NamedTuple):
    """The status of diagnostics that reports the fault, its level, and a part of its text."""

    status: str
    level: int
    text: str


class Reaction(NamedTuple):
    """What the node does, in the words of the table, and its check."""

    words: str
    check: Callable[[Scene, float], Optional[float]]  # returns when the first zero came, or None


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
    injected: str  # how to cause it, in the words of the table
    make: Callable[[Scene], float]  # causes it; returns when it began (time.monotonic)
    reaction: Reaction
    line: Optional[Line]
    second_line: Optional[Line] = None
    promise_s: Optional[float] = PROMISE_S  # until zero arrives at the base; None: no stop
    undo: Callable[[Scene], None] = lambda scene: None  # what `Scene.ready` does not undo
    needs: Tuple[str, ...] = ()  # Python packages that the fault needs

    def promise(self) -> str:
        """Return the table cell with the promised time, ms."""
        return '' if self.promise_s is None else f'{1e3 * self.promise_s:.0f}'

    def diagnosis(self) -> str:
        """Return the table cell with the lines of diagnostics."""
        if self.line is None:
            return 'none; the last lines go stale'
        return '; '.join(f'{line.status} {LEVELS[line.level]}: {line.text}'
                         for line in (self.line, self.second_line) if line is not None)


class Measured(NamedTuple):
    """What was measured of one fault, in seconds since it began."""

    zero_s: Optional[float]
    diagnosed_s: Optional[float]


def try_out(scene: Scene, fault: Fault) -> Measured:
    """Cause the fault in a driving scene, check the reaction, and undo it."""
    scene.ready()
    at = fault.make(scene)
    try:
        zero = fault.reaction.check(scene, at)
        diagnosed = None if fault.line is None else scene.diagnosed(fault.line, at)
        if fault.second_line is not None:
            scene.diagnosed(fault.second_line, at)
        if fault.promise_s is not None:
            assert zero is not None and zero - at < fault.promise_s + SLACK_S
    finally:
        fault.undo(scene)
    scene.ready()
    scene.check()
    return Measured(None if zero is None else max(zero - at, 0.0),
                    None if diagnosed is None else max(diagnosed - at, 0.0))
