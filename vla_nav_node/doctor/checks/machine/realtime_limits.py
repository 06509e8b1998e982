"""Whether the parameter `realtime` would be granted."""

import re
from typing import Iterator

from ..check import Check, Finding, ok, skipped, warning
from ..place import Place
from ....system.realtime import CAP_IPC_LOCK, LIMITS, PRIORITIES

CAP_SYS_NICE = 23  # linux/capability.h
UNLIMITED = 'unlimited'


def run(place: Place) -> Iterator[Finding]:
    """Read the limits of this process."""
    limits = dict(re.findall(r'^Max (realtime priority|locked memory) +\S+ +(\S+)', place.text(
        place.proc / 'self/limits'), re.M))
    if len(limits) < 2:
        yield skipped('the limits of a process cannot be read')
        return
    held = int(''.join(re.findall(r'CapEff:\s*(\S+)', place.text(
        place.proc / 'self/status'))) or '0', 16)
    priority, memory, most = limits['realtime priority'], limits['locked memory'], \
        max(PRIORITIES.values())
    unlimited = priority == UNLIMITED or int(priority) >= most
    if not unlimited and not held >> CAP_SYS_NICE & 1:
        yield warning(f'realtime:=true would be refused: priority {priority} at most',
                      f'{most}, if the node is to run in real time', 'add '
                      + LIMITS.format('rtprio', most, 'CAP_SYS_NICE', 'SYS_NICE'))
    if memory != UNLIMITED and not held >> CAP_IPC_LOCK & 1:
        yield warning(f'realtime:=true would not lock memory: {int(memory) >> 10} KiB at most',
                      'unlimited, if the node is to run in real time', 'add ' + LIMITS.format(
                          'memlock', UNLIMITED, 'CAP_IPC_LOCK', 'IPC_LOCK'))
    yield ok('realtime:=true would be granted')


CHECK = Check('realtime', 'on Linux', '/proc/self/limits and the capabilities', run)
