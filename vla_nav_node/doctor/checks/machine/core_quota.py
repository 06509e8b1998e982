"""Whether a container or a service may use the processor only for a part of the time."""

from pathlib import Path
import re
from typing import Iterator, List, NamedTuple, Optional

from ..check import Check, Finding, ok, skipped, warning
from ..place import Place
from ....system.machine import cores

REMEDY = ('give it more (docker run --cpus, systemd CPUQuota=), or none and cores of its own '
          '(docker run --cpuset-cpus)')


class Quota(NamedTuple):
    """A limit of a control group."""

    cores: float  # that it may use on average
    period_ms: float
    throttled: int  # how often it had to wait


def run(place: Place) -> Iterator[Finding]:
    """Compare the tightest limit with the cores."""
    found = [quota for quota in map(read, groups(place)) if quota]
    if not list(groups(place)):
        yield skipped('no control group can be read')
        return
    if not found:
        yield ok(f'no quota; {cores()} core(s)')
        return
    quota = min(found)
    text = f'{quota.cores:g} core(s) on average, in periods of {quota.period_ms:g} ms'
    if quota.throttled or quota.cores < cores():
        yield warning(f'the quota is {text}; whoever has used it up waits for the next period '
                      f'(so far {quota.throttled} times)', f'no quota below {cores()} core(s)',
                      REMEDY)
    else:
        yield ok(f'the quota is {text}')


def groups(place: Place) -> List[Path]:
    """Return the control groups of this process, of version 2 and of version 1."""
    lines = re.findall(r'^\d+:([^:]*):(.*)$', place.text(place.proc / 'self/cgroup'), re.M)
    roots = [(place.sys / 'fs/cgroup' / ('cpu' if names else ''), Path(path.lstrip('/')))
             for names, path in lines if not names or 'cpu' in names.split(',')]
    found = [root / part for root, path in roots for part in (path, *path.parents)]
    return [folder for folder in dict.fromkeys(found)
            if (folder / 'cpu.max').exists() or (folder / 'cpu.cfs_quota_us').exists()
            or (folder / 'cgroup.controllers').exists()]


def read(folder: Path) -> Optional[Quota]:
    """Return the quota of one group, None if it has none."""
    try:
        if (folder / 'cpu.max').exists():
            quota, period = (folder / 'cpu.max').read_text().split()
        else:
            quota, period = ((folder / f'cpu.cfs_{name}_us').read_text().strip()
                             for name in ('quota', 'period'))
        stat = (folder / 'cpu.stat').read_text() if (folder / 'cpu.stat').exists() else ''
    except (OSError, ValueError):
        return None
    if quota in ('max', '-1'):
        return None
    throttled = re.search(r'nr_throttled (\d+)', stat)
    return Quota(int(quota) / int(period), int(period) / 1e3,
                 int(throttled[1]) if throttled else 0)


CHECK = Check('quota', 'where control groups can be read', '/proc/self/cgroup, and cpu.max and '
              'cpu.stat of each group above', run)
