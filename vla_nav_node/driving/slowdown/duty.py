"""What the node itself does: which backend drives, and which pictures come how often."""

from typing import NamedTuple, Sequence

from ...policy.runtimes import Runtime
from ...types import BackendInfo

OTHER_PACE = 1.3  # times as long between two pictures as before


class Duty(NamedTuple):
    """The work of the node at one moment."""

    wanted: Runtime
    backend: BackendInfo
    fallback: bool  # drives instead of the wanted one
    picture: str  # size and encoding, as diagnostics have it
    received: int  # pictures since the start
    at_s: float
    rehearsal_ms: float = 0.0

    def is_for_another(self, other: 'Duty') -> bool:
        """Return whether a swap lies between the two: what is expected then differs."""
        return (self.wanted, self.rehearsal_ms) != (other.wanted, other.rehearsal_ms) or (
            self.backend != other.backend and not self.fallback)

    def differs_from(self, other: 'Duty') -> bool:
        """Return whether another backend drives, or on other pictures."""
        return self.backend != other.backend or self.picture != other.picture


def explain_backend(before: Sequence[Duty], now: Sequence[Duty]) -> str:
    """Return that another backend drives than the one whose times are expected."""
    if not before or not now or now[-1].backend == before[-1].backend:
        return ''
    was, is_now = before[-1].backend, now[-1].backend
    role = 'a fallback drives' if now[-1].fallback else 'another backend drives'
    return f'{role}: {is_now}, not {was}'


def explain_picture(before: Sequence[Duty], now: Sequence[Duty]) -> str:
    """Return that pictures have another size or encoding."""
    if not before or not now or now[-1].picture == before[-1].picture:
        return ''
    return f'pictures are {now[-1].picture}, {before[-1].picture} before'


def explain_pace(before: Sequence[Duty], now: Sequence[Duty]) -> str:
    """Return that pictures come less often, so that caches and cores cool down in between."""
    was, is_now = rate(before), rate(now)
    if not was or not is_now or was < OTHER_PACE * is_now:
        return ''
    return (f'pictures come {is_now:.0f} times a second, {was:.0f} before, so caches and cores '
            'cool down in between')


def rate(duties: Sequence[Duty]) -> float:
    """Return the pictures per second; 0 if unknown."""
    if len(duties) < 2:
        return 0.0
    first, last = duties[0], duties[-1]
    return (last.received - first.received) / max(last.at_s - first.at_s, 1e-9)
