"""The machine that figures belong to, and whether it was left alone meanwhile. A leaf."""

from contextlib import contextmanager
from importlib import metadata
import os
from pathlib import Path
import platform
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

MODULES = ('onnxruntime', 'torch', 'numpy', 'cv2')  # whose versions decide how long a step takes
SAMPLE_S = 1.0
IDLE_CORES = 0.15  # in use by others: more than that, and the machine is not otherwise idle
IDLE_STEAL = 0.01  # of its time, taken by the host of a virtual machine


class CpuTimes(NamedTuple):
    """Seconds of all cores since the start of the machine."""

    at_s: float  # time.monotonic
    used: float
    stolen: float

    def since(self, before: 'CpuTimes') -> Dict[str, float]:
        """Return the cores in use, and the share of a core's time that was stolen."""
        span_s = max(self.at_s - before.at_s, 1e-9)
        return {'cores_in_use': round((self.used - before.used) / span_s, 3),
                'steal': round((self.stolen - before.stolen) / span_s / cores(), 4)}


def cores() -> int:
    """Return how many cores there are for this process."""
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


@contextmanager
def on_this_machine(modules: Sequence[str] = MODULES) -> Iterator[Dict[str, Any]]:
    """Return a description that is complete once the context is left."""
    found = describe(modules)
    before = now()
    yield found
    found['during'] = now().since(before)
    found['disturbance'] = disturbance(found)


def told(machine: Dict[str, Any]) -> List[str]:
    """Return lines for people: what the machine is, and a warning if it was not idle."""
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    return [f'{machine["cpu"]}, {machine["cores"]} cores; {machine["platform"]}; Python '
            f'{machine["python"]}; {versions}', *warning(machine)]


def warning(machine: Dict[str, Any]) -> List[str]:
    """Return the warning that belongs beside times taken on a machine that was not idle."""
    return [f'This machine was not idle: {machine["disturbance"]}. Judge the ratios, not the '
            'times.'] if machine['disturbance'] else []


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


def package_version() -> str:
    """Return this package's version; a checkout that is not installed has none."""
    try:
        return metadata.version(__name__.partition('.')[0])
    except metadata.PackageNotFoundError:
        return 'not installed'


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
