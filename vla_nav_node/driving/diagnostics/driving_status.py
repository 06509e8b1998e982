"""Whether the robot drives, since when, and which status owns the fault if it does not."""

from dataclasses import dataclass, replace
import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from .graph import GraphReport, no_receiver
from .statuses import ERROR, flag, OK, Status, WARN
from ...types import Command, DRIVING

ALL_WELL = GraphReport()


class DriveTimes:
    """When the robot last stopped and when it last began to drive."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Use a monotonic clock, s."""
        self._clock_s = clock_s
        self._stopped_s: Optional[float] = None
        self._began_s: Optional[float] = None

    def note_stop(self) -> None:
        """Note that a moving robot stops; cheap, for the thread that stops it."""
        self._stopped_s = self._clock_s()

    def note_start(self) -> None:
        """Note that it begins to drive."""
        self._began_s = self._clock_s()

    @property
    def stood_s(self) -> Optional[float]:
        """Return how long it stood before it last began to drive; None if it began only once."""
        stopped_s, began_s = self._stopped_s, self._began_s
        return None if stopped_s is None or began_s is None else max(began_s - stopped_s, 0.0)

    def since_stop_s(self) -> Optional[float]:
        """Return the time since it last stopped; None before the first stop."""
        return None if self._stopped_s is None else self._clock_s() - self._stopped_s

    def driving_s(self) -> Optional[float]:
        """Return the time since it last began to drive; None before."""
        return None if self._began_s is None else self._clock_s() - self._began_s


@dataclass(frozen=True)
class DrivingReport:
    """What is known about driving at one moment; the defaults describe a robot that drives."""

    command: Command  # the newest
    enabled: bool = True
    stops: int = 0  # since the last report
    last_stop: str = ''  # the reason of the newest of them
    hang: Optional[Command] = None  # a stop that names the stage that does not return
    graph: GraphReport = ALL_WELL
    since_stop_s: Optional[float] = None
    driving_s: Optional[float] = None
    total_stops: int = 0

    @property
    def stop(self) -> Optional[Command]:
        """Return the stop with its reason and owner; None if the robot drives."""
        if self.hang is not None:
            return self.hang
        if not self.enabled:
            return Command(0.0, 0.0, 'disabled')
        return self.command if self.command.is_stop else None

    @property
    def standing(self) -> str:
        """Return why the robot stands still; '' if it drives."""
        if self.stop is None:
            return ''
        if self.hang is None and not self.enabled:
            return 'disabled: standing still until ~/enable'
        clock = '' if self.hang else self.graph.clock
        return 'standing still: ' + '; '.join(filter(None, (self.stop.reason, clock)))

    @property
    def owner(self) -> str:
        """Return the status that owns the fault; '' if there is none."""
        stop = self.stop
        return '' if stop is None or (self.hang is None and not self.enabled) else stop.owner


def driving_status(report: DrivingReport) -> Status:
    """Return whether the robot drives, and if not, why, or which other status owns the fault."""
    level, message = _summary(report)
    return Status(DRIVING, level, message, _values(report))


def _summary(report: DrivingReport) -> Tuple[int, str]:
    if report.owner == DRIVING:
        return ERROR, report.standing
    if report.owner:
        return WARN, f'{report.standing} (see {report.owner})'
    if report.standing:
        return WARN, report.standing
    unreceived = no_receiver(report.graph)
    if unreceived:
        return WARN, f'driving, but {unreceived}'
    if report.stops:
        return WARN, (f'driving, but stopped {report.stops} times since the last report: '
                      f'{report.last_stop}')
    return OK, 'driving'


def _values(report: DrivingReport) -> Dict[str, str]:
    drives = not report.standing
    values = {'driving': flag(drives), 'enabled': flag(report.enabled),
              'linear x m/s': f'{report.command.linear_x:.3f}',
              'linear y m/s': f'{report.command.linear_y:.3f}',
              'stops since the last report': str(report.stops),
              'stops since start': str(report.total_stops),
              'fault in': report.owner or '-'}
    if report.since_stop_s is not None:
        values['since the last stop s'] = f'{report.since_stop_s:.2f}'
    if drives and report.driving_s is not None:
        values['driving for s'] = f'{report.driving_s:.2f}'
    return values


def blame(statuses: Sequence[Status], report: DrivingReport) -> List[Status]:
    """Return the statuses with the fault that stops the robot as ERROR in the one that owns it."""
    return [_with_fault(status, report) if status.name == report.owner else status
            for status in statuses]


def _with_fault(status: Status, report: DrivingReport) -> Status:
    if status.level == ERROR or report.stop is None:  # it reports its fault already
        return status
    return replace(status, level=ERROR, message=f'{report.stop.reason}; {status.message}')
