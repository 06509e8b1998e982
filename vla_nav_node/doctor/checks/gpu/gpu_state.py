"""The GPU's clocks, persistence mode, power and temperature, as nvidia-smi tells them."""

import shutil
import subprocess
from typing import Dict, Iterator

from . import nvidia
from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place

FIELDS = ('name', 'persistence_mode', 'clocks.sm', 'clocks.max.sm', 'power.draw', 'power.limit',
          'temperature.gpu', 'memory.used', 'memory.total', 'clocks_throttle_reasons.active')
# nvml.h, nvmlClocksThrottleReasons: what slows the GPU down against its will.
REASONS = {0x4: 'the power limit', 0x8: 'a slowdown by the hardware', 0x20: 'its temperature',
           0x40: 'its temperature (hardware)', 0x80: 'the external power brake'}
LIMIT_S = 10.0


def run(place: Place) -> Iterator[Finding]:
    """Judge what slows a step down or makes its time uneven."""
    reason = nvidia.why_none(place) or (
        'a Jetson: see the check jetson' if (place.etc / nvidia.TEGRA).exists() else '')
    if reason:
        yield skipped(reason)
        return
    try:
        state = query()
    except (OSError, subprocess.SubprocessError) as error:
        yield failed(f'nvidia-smi does not answer: {error}', 'an answer within '
                     f'{LIMIT_S:g} s', 'restart the machine, or install the driver again')
        return
    yield from judge(state)


def query() -> Dict[str, str]:
    """Ask nvidia-smi for the first GPU."""
    output = subprocess.run(
        [shutil.which('nvidia-smi') or 'nvidia-smi', f'--query-gpu={",".join(FIELDS)}',
         '--format=csv,noheader,nounits', '--id=0'], capture_output=True, text=True, check=True,
        timeout=LIMIT_S).stdout
    return dict(zip(FIELDS, (part.strip() for part in output.splitlines()[0].split(','))))


def judge(state: Dict[str, str]) -> Iterator[Finding]:
    """Judge one GPU's state."""
    if state['persistence_mode'] == 'Disabled':
        yield warning('persistence mode is off: the driver unloads between two programs, and the '
                      'first step waits for it', 'persistence mode on', 'sudo nvidia-smi -pm 1')
    active = state['clocks_throttle_reasons.active']
    bits = int(active, 16) if active.startswith('0x') else 0
    slowed = sorted({text for bit, text in REASONS.items() if bits & bit})
    if slowed:
        yield warning(f'the GPU is slowed down by {" and ".join(slowed)} '
                      f'({state["temperature.gpu"]} C, {state["power.draw"]} of '
                      f'{state["power.limit"]} W)', 'no throttling', 'cool it, raise its limit '
                      '(sudo nvidia-smi -pl WATTS), or end what else uses it')
    yield ok(f'{state["name"]}: {state["clocks.sm"]} of {state["clocks.max.sm"]} MHz, '
             f'{state["power.draw"]} W, {state["temperature.gpu"]} C, {state["memory.used"]} of '
             f'{state["memory.total"]} MiB used')


CHECK = Check('gpu-state', 'where there is an NVIDIA GPU, except a Jetson', 'nvidia-smi', run)
