"""Whether the base stops by itself when commands end."""

from typing import Iterator

from .installation import why_none
from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place

LONG_S = 1.0
TRY = ('lift the wheels, send one command (ros2 topic pub --once), and see that they stop; then '
       'vla_nav doctor --base-stops')


def run(place: Place) -> Iterator[Finding]:
    """Judge the timeouts that those who listen to the commands tell."""
    reason = why_none(place)
    facts = {} if reason else place.graph().facts
    if reason or not facts.get('commands', {}).get('subscribers'):
        yield skipped(reason or 'nobody listens to the commands')
        return
    if place.base_stops:
        yield ok('the base stops by itself: you have said so')
        return
    told = {name: found for name, found in facts.get('timeouts', {}).items() if found}
    for name, found in told.items():
        parameter, seconds = next(iter(found.items()))
        if seconds <= 0.0:
            yield failed(f'{name} never stops by itself ({parameter} is {seconds:g})',
                         f'up to {LONG_S:g} s', f'ros2 param set {name} {parameter} 0.5')
        elif seconds > LONG_S:
            yield warning(f'{name} drives on for {seconds:g} s ({parameter})',
                          f'up to {LONG_S:g} s', f'ros2 param set {name} {parameter} 0.5')
        else:
            yield ok(f'{name} stops after {seconds:g} s without a command ({parameter})')
    if not told:
        yield warning('nobody who listens tells when it stops by itself: after a power cut of '
                      'this computer nothing is left to send a zero', 'a base that stops within '
                      f'{LONG_S:g} s', TRY)


CHECK = Check('base', 'with a subscriber of the commands', 'the parameters of those who listen: '
              'cmd_vel_timeout and its kin', run)
