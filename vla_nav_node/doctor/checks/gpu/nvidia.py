"""Whether this machine has NVIDIA hardware, from files alone; and the driver, from a child."""

from pathlib import Path
from typing import Iterator

from ..check import Check, failed, Finding, ok, skipped, told
from ..place import Place

VENDOR, DISPLAY = '0x10de', '0x03'  # of PCI: NVIDIA; the class of a GPU
TEGRA = 'nv_tegra_release'  # in /etc of every Jetson
PROBE = 'vla_nav_node.doctor.probes.driver_probe'


def why_none(place: Place) -> str:
    """Return why there is no GPU of NVIDIA to check; '' if there is one."""
    if (place.etc / TEGRA).exists() or (place.proc / 'driver/nvidia/version').exists():
        return ''
    devices = place.sys.glob('bus/pci/devices/*')
    return '' if any(map(is_gpu, devices)) else 'this machine has no NVIDIA GPU'


def is_gpu(device: Path) -> bool:
    """Return whether a PCI device is a GPU of NVIDIA."""
    try:
        return ((device / 'vendor').read_text().strip() == VENDOR
                and (device / 'class').read_text().startswith(DISPLAY))
    except OSError:
        return False


def run(place: Place) -> Iterator[Finding]:
    """Initialise the driver in a child."""
    reason = why_none(place)
    if reason:
        yield skipped(reason)
        return
    answer = place.heavy(PROBE)
    if 'error' in answer.facts:
        yield told(answer.facts['error'], 'a driver that starts', 'install the driver, restart')
    elif answer.problem:
        yield failed(f"the driver's library {answer.problem}", 'a driver that starts',
                     'restart the machine, or install the driver again')
    else:
        gpu, cuda = answer.facts['gpu'], answer.facts['cuda']
        yield ok(f'{gpu[0]}, compute capability {gpu[1]}, driver for CUDA '
                 f'{cuda // 1000}.{cuda % 1000 // 10}')


CHECK = Check('gpu', 'where there is an NVIDIA GPU or a Jetson',
              'the PCI devices, and libcuda.so.1 started in a child', run)
