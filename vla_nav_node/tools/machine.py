"""What the figures were measured on, and whether it was doing something else meanwhile."""

from importlib import metadata
import os
from pathlib import Path
import platform
import time
from typing import Any, Dict, NamedTuple, Sequence

SAMPLE_S = 1.0
IDLE_CORES = 0.15  # in use by others: more than that, and the machine is not otherwise idle
IDLE_STEAL = 0.01  # of its time, taken by the host of a virtual machine


class CpuTimes(NamedTuple):
    """Seconds of all cores since the start of the machine."""

    at_s: float  # time.monotonic
    used: float
    stolen: float

    def since(self, before: 'CpuTimes') -> Dict[str, float]:
        """Give the cores in use, and the share of a core's time that was stolen."""
        span_s = max(self.at_s - before.at_s, 1e-9)
        return {'cores_in_use': round((self.used - before.used) / span_s, 3),
                'steal': round((self.stolen - before.stolen) / span_s / cores(), 4)}


def cores() -> int:
    """Give how many cores there are for this process."""
    return len(os.sched_getaffinity(0))


def parse_times(stat: str, at_s: float, ticks: int) -> CpuTimes:
    """Read the first line of /proc/stat; man 5 proc has the order."""
    numbers = [int(word) / ticks for word in stat.split('\n', 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = numbers[:8]
    return CpuTimes(at_s, user + nice + system + irq + softirq, steal)


def now() -> CpuTimes:
    """Read the times of now."""
    return parse_times(Path('/proc/stat').read_text(), time.monotonic(), os.sysconf('SC_CLK_TCK'))


def describe(modules: Sequence[str]) -> Dict[str, Any]:
    """Tell what this machine is, with which modules, and how much others use; takes SAMPLE_S."""
    before = now()
    time.sleep(SAMPLE_S)
    return {
        'cpu': _cpu_model(), 'cores': cores(), 'platform': platform.platform(),
        'python': platform.python_version(), 'versions': _versions(modules),
        'load_average': list(os.getloadavg()), 'before': now().since(before)}


def disturbance(machine: Dict[str, Any]) -> str:
    """Say what else the machine was doing; nothing when it was idle but for us."""
    others, steal = machine['before']['cores_in_use'], machine['during']['steal']
    found = []
    if others > IDLE_CORES:
        found.append(f'other processes used {others:.2f} of its {machine["cores"]} cores before '
                     'the measurement began')
    if steal > IDLE_STEAL:
        found.append(f'its host took {steal:.1%} of its time away')
    return '; '.join(found)


def _cpu_model() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        key, _, value = line.partition(':')
        if key.strip() in ('model name', 'Model', 'Hardware'):
            return value.strip()
    return platform.machine()


def _versions(modules: Sequence[str]) -> Dict[str, str]:
    packages = metadata.packages_distributions()
    return {module: metadata.version(packages[module][0]) if module in packages else 'not found'
            for module in modules}
