"""The Fast DDS profile: set, there, readable, and in force in a node that is started for it."""

from typing import Iterator

from .installation import why_none
from ..check import Check, FAILED, failed, Finding, ok, skipped, told, warning
from ..place import Place

ENOUGH = 16 << 20  # of shared memory in one process; Fast DDS's default is 0.5 MiB
NAMES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def run(place: Place) -> Iterator[Finding]:
    """Judge the variables, the file, and the segment that a node has got."""
    reason = why_none(place)
    facts = {} if 'not installed' in reason else place.graph().facts
    if 'profile_error' in facts:
        yield told(facts['profile_error'], 'a profile that Fast DDS reads',
                   f'unset {" ".join(NAMES)}', FAILED)
        return
    if reason or 'fastrtps' not in facts['rmw']:
        yield skipped(reason or f'{facts["rmw"]} needs no profile of Fast DDS')
        return
    path = next(filter(None, (facts['settings'][name] for name in NAMES)), '')
    lines = ' '.join(f'{name}={facts["profile"]}' for name in NAMES)
    if facts['segment'] >= ENOUGH:
        yield ok(f'{path or "a profile"} is in force: {facts["segment"] >> 20} MiB of shared '
                 'memory a process')
    elif not path:
        yield warning('no Fast DDS profile is set: of raw 640x480 images most are lost between '
                      'two processes', 'the profile in the environment of the camera and of the '
                      'node (the launch file sets it for what it starts)', f'export {lines}')
    else:
        yield failed(f'{path} is set, but a node has {facts["segment"] / 2 ** 20:.1f} MiB of '
                     'shared memory: Fast DDS ignores it, or /dev/shm is full'
                     + _complaint(place), f'{ENOUGH >> 20} MiB or more', f'export {lines}; see '
                     'the check shared-memory')


def _complaint(place: Place) -> str:
    lines = [line for line in place.graph().stderr.splitlines() if 'XMLPARSER' in line]
    return f' ({lines[0].strip()})' if lines else ''


CHECK = Check('fastdds-profile', 'with Fast DDS', ' and '.join(NAMES) + ', the file, and the '
              'shared memory that a started node has mapped', run)
