"""Whether a container or a service may use the processor only for a part of the time."""

from math import inf
from typing import Iterator

from ..check import Check, Finding, ok, skipped, warning
from ..place import Place
from ....system.load.cpu_quota import QuotaReader
from ....system.load.kernel_files import Roots
from ....system.machine import cores

REMEDY = ('give it more (docker run --cpus, systemd CPUQuota=), or none and cores of its own '
          '(docker run --cpuset-cpus)')


def run(place: Place) -> Iterator[Finding]:
    """Compare the tightest limit with the cores."""
    quota = QuotaReader(Roots(str(place.proc), str(place.sys))).read()
    if quota is None:
        yield skipped('no control group can be read')
    elif quota.cores == inf:
        yield ok(f'no quota; {cores()} core(s)')
    elif quota.ever or quota.cores < cores():
        yield warning(f'the quota is {quota.cores:g} core(s) on average; whoever has used it up '
                      f'waits for the next period (so far {quota.ever} times)',
                      f'no quota below {cores()} core(s)', REMEDY)
    else:
        yield ok(f'the quota is {quota.cores:g} core(s) on average')


CHECK = Check('quota', 'where control groups can be read', '/proc/self/cgroup, and cpu.max and '
              'cpu.stat of each group above', run)
