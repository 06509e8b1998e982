"""The CPU time that this process's control groups allow: versions 2 and 1 of cgroups."""

import math
import os
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from .kernel_files import LINUX, read_number, read_text, Roots


Limit = Callable[[str], float]  # directory of a group -> cores


class Quota(NamedTuple):
    """The tightest limit, and how often a limit has held the process up."""

    cores: float  # inf without a limit
    throttled: int  # periods since the last reading
    ever: int = 0  # periods since the group exists


class QuotaReader:
    """Reads the limits of the group and of those above it."""

    def __init__(self, roots: Roots = LINUX) -> None:
        """Find the groups of this process."""
        self._groups, self._read = _groups(roots)
        self._throttled: Optional[int] = None

    def read(self) -> Optional[Quota]:
        """Return the limit and what it did since the last call; None without control groups."""
        if not self._groups:
            return None
        cores = min(map(self._read, self._groups))
        throttled = sum(map(_throttled, self._groups))
        before, self._throttled = self._throttled, throttled
        return Quota(cores, 0 if before is None else max(throttled - before, 0), throttled)


def _groups(roots: Roots) -> Tuple[List[str], Limit]:
    """Return the directories of the group and those above it, and what reads a limit there."""
    for line in read_text(f'{roots.proc}/self/cgroup').splitlines():
        _, controllers, path = line.split(':', 2)
        if 'cpu' in controllers.split(','):
            # In a container its own group is the root of the mount, whatever /proc says.
            return _upwards(f'{roots.sys}/fs/cgroup/cpu', path, 'cpu.cfs_quota_us'), _limit_v1
    for line in read_text(f'{roots.proc}/self/cgroup').splitlines():
        if line.startswith('0::'):
            for mount in ('fs/cgroup', 'fs/cgroup/unified'):
                found = _upwards(f'{roots.sys}/{mount}', line[3:], 'cpu.stat')
                if found:
                    return found, _limit_v2
    return [], _limit_v2


def _upwards(mount: str, path: str, needed: str) -> List[str]:
    names = [name for name in path.split('/') if name not in ('', '..')]
    directories = [os.path.join(mount, *names[:count]) for count in range(len(names), -1, -1)]
    return [directory for directory in directories
            if os.path.exists(os.path.join(directory, needed))]


def _limit_v2(group: str) -> float:
    """Return the limit in cores; cpu.max has the quota or max, and the period, in us."""
    quota, _, period = read_text(f'{group}/cpu.max').partition(' ')
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else math.inf


def _limit_v1(group: str) -> float:
    quota, period = (read_number(f'{group}/cpu.cfs_{name}_us') for name in ('quota', 'period'))
    return quota / period if quota and period and quota > 0 else math.inf


def _throttled(group: str) -> int:
    for line in read_text(f'{group}/cpu.stat').splitlines():
        name, _, value = line.partition(' ')
        if name == 'nr_throttled':
            return int(value)
    return 0


def explain(before: Sequence[Quota], now: Sequence[Quota]) -> str:
    """Return that the limit is lower than before, or holds the process up more often."""
    if not now:
        return ''
    cores, had = now[-1].cores, before[-1].cores if before else math.inf
    if cores < had:
        return (f'its control group may use {cores:.2g} cores, '
                f'{"any number" if had == math.inf else format(had, ".2g")} before (cpu.max)')
    was, is_now = (sum(quota.throttled for quota in quotas) / max(len(quotas), 1)
                   for quotas in (before, now))
    if is_now <= 1.5 * was or not is_now:
        return ''
    return (f'its control group has used up its quota of {cores:.2g} cores in {is_now:.1f} '
            f'periods a reading, {was:.1f} before (cpu.max)')
