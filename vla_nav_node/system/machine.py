"""The machine that figures were measured on, and whether it was idle meanwhile. A leaf."""

from contextlib import contextmanager
from importlib import metadata
import os
from pathlib import Path
import platform
import time
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence

MODULES = ('onnxruntime', 'torch', 'numpy', 'cv2')  # whose versions decide how long a step takes
SAMPLE_S = 1.0
IDLE_CORES = 0.15  # in use by other processes; above, the machine counts as not idle
IDLE_STEAL = 0.01  # of its time, taken by the host of a virtual machine


class CpuTimes(NamedTuple):
    """Seconds of all cores since the machine started."""

    at_s: float  # time.monotonic
    used: float
    stolen: float

    def since(self, before: 'CpuTimes') -> Dict[str, float]:
        """Return the cores in use, and the stolen share of a core's time."""
        span_s = max(self.at_s - before.at_s, 1e-9)
        return {'cores_in_use': round((self.used - before.used) / span_s, 3),
                'steal': round((self.stolen - before.stolen) / span_s / cores(), 4)}


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def now() -> CpuTimes:
    """Return the present CPU times."""
    import psutil  # here: the node imports this module for its version, and needs no psutil
    times = psutil.cpu_times()
    used = times.user + times.nice + times.system + times.irq + times.softirq
    return CpuTimes(time.monotonic(), used, times.steal)


def describe(modules: Sequence[str]) -> Dict[str, Any]:
    """Return what this machine is, the modules' versions and the load by others, in SAMPLE_S."""
    before = now()
    time.sleep(SAMPLE_S)
    return {
        'cpu': cpu_model(), 'cores': cores(), 'platform': platform.platform(),
        'python': platform.python_version(), 'versions': _versions(modules),
        'load_average': list(os.getloadavg()), 'before': now().since(before)}


@contextmanager
def on_this_machine(modules: Sequence[str] = MODULES) -> Iterator[Dict[str, Any]]:
    """Yield a description that is complete when the context is left."""
    machine = describe(modules)
    before = now()
    yield machine
    machine['during'] = now().since(before)
    machine['disturbance'] = disturbance(machine)


def summary_lines(machine: Dict[str, Any]) -> List[str]:
    """Return what the machine is as text, and a warning if it was not idle."""
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    return [f'{machine["cpu"]}, {machine["cores"]} cores; {machine["platform"]}; Python '
            f'{machine["python"]}; {versions}', *warning(machine)]


def warning(machine: Dict[str, Any]) -> List[str]:
    """Return a warning to show with the measured times if the machine was not idle."""
    return [f'This machine was not idle: {machine["disturbance"]}. Judge the ratios, not the '
            'times.'] if machine['disturbance'] else []


def disturbance(machine: Dict[str, Any]) -> str:
    """Return what else the machine was doing, '' if it was idle otherwise."""
    others, steal = machine['before']['cores_in_use'], machine['during']['steal']
    found = []
    if others > IDLE_CORES:
        found.append(f'other processes used {others:.2f} of its {machine["cores"]} cores before '
                     'the measurement began')
    if steal > IDLE_STEAL:
        found.append(f'its host took {steal:.1%} of its time away')
    return '; '.join(found)


def with_package(environment: Mapping[str, str]) -> Dict[str, str]:
    """Return an environment in which a child finds this package where it is not installed."""
    root = str(Path(__file__).resolve().parents[2])
    if root.endswith('-packages'):  # the folder would come before Python's own modules
        return dict(environment)
    return {**environment, 'PYTHONPATH': os.pathsep.join(
        filter(None, [root, environment.get('PYTHONPATH', '')]))}


def package_version() -> str:
    """Return this package's version, 'not installed' for a checkout."""
    try:
        return metadata.version(__name__.partition('.')[0])
    except metadata.PackageNotFoundError:
        return 'not installed'


def cpu_model() -> str:
    """Return the processor's name."""
    for line in Path('/proc/cpuinfo').read_text().splitlines():  # psutil does not know the model
        key, _, value = line.partition(':')
        if key.strip() in ('model name', 'Model', 'Hardware'):
            return value.strip()
    return platform.machine()


def _versions(modules: Sequence[str]) -> Dict[str, str]:
    packages = metadata.packages_distributions()
    return {module: metadata.version(packages[module][0]) if module in packages else 'not found'
            for module in modules}
