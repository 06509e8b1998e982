"""Which other processes this one can find: the domain, and how far discovery goes."""

from typing import Dict, Iterator

from .installation import why_none
from ..check import Check, Finding, ok, skipped, told, warning
from ..place import Place

RANGE, ONLY = 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'
RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')
OLD = ('humble', 'iron')  # the first with the range is iron, but it still reads the other one
LISTED = 'a robot and its tools in one domain and range'


def run(place: Place) -> Iterator[Finding]:
    """Judge domain and range."""
    facts = {} if why_none(place) == 'ROS 2 is not installed or not sourced' else \
        place.graph().facts
    if 'settings' not in facts:
        yield skipped('ROS 2 is not installed or not sourced')
        return
    if 'domain_error' in facts:
        yield told(facts['domain_error'], 'a domain from 0 to 232', 'export ROS_DOMAIN_ID=0')
    yield from judge_range(facts['settings'])
    settings = facts['settings']
    nodes = f', {facts["nodes"]} node(s) found' if 'nodes' in facts else ''
    yield ok(f'domain {settings["ROS_DOMAIN_ID"] or 0}, '
             f'{reach(settings)}{nodes}')


def reach(settings: Dict[str, str]) -> str:
    """Return in words how far discovery goes."""
    if settings[RANGE].upper() == 'LOCALHOST' or settings[ONLY] == '1':
        return 'this machine only'
    return 'switched off' if settings[RANGE].upper() == 'OFF' else 'the whole subnet'


def judge_range(settings: Dict[str, str]) -> Iterator[Finding]:
    """Warn of values that ROS ignores or that keep everything apart."""
    value, only, distribution = settings[RANGE], settings[ONLY], settings['ROS_DISTRO']
    if value and value.upper() not in RANGES:
        yield warning(f'{RANGE} is {value!r}, which ROS ignores', 'one of ' + ', '.join(RANGES),
                      f'export {RANGE}=LOCALHOST, or unset it')
    if value.upper() == 'OFF':
        yield warning(f'{RANGE} is OFF: no process finds another one', 'LOCALHOST or SUBNET',
                      f'export {RANGE}=LOCALHOST')
    if only and distribution not in OLD:
        yield warning(f'{ONLY} is set, which is deprecated since Iron'
                      + (f' and overrides {RANGE}={value}' if value else ''), RANGE,
                      f'unset {ONLY}; export {RANGE}=LOCALHOST for this machine only')


CHECK = Check('discovery', 'where ROS 2 is installed', f'ROS_DOMAIN_ID, {RANGE}, {ONLY}', run)
