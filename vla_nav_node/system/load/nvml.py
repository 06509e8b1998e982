"""
What slows an NVIDIA GPU down, by ctypes on the driver's own library, as nvml.h declares it.

The library comes with the driver (not with JetPack before 6); without it nothing is read.
"""

from ctypes import byref, c_char_p, c_uint, c_ulonglong, c_void_p, CDLL, Structure
from typing import Any, FrozenSet, List, NamedTuple, Optional, Sequence

LIBRARY = 'libnvidia-ml.so.1'
SM_CLOCK, MOST_PROCESSES, LOWER = 1, 64, 0.9
# nvmlClocksEventReasons; idle (1) and the user's own settings (2) are no fault of the machine's.
REASONS = {0x04: 'power limit', 0x08: 'hardware slowdown', 0x20: 'thermal limit (software)',
           0x40: 'thermal limit (hardware)', 0x80: 'power brake'}


class ProcessInfo(Structure):
    """A process with a context on the GPU, nvmlProcessInfo_t."""

    _fields_ = [('pid', c_uint), ('memory', c_ulonglong), ('gpu_instance', c_uint),
                ('compute_instance', c_uint)]


class GpuState(NamedTuple):
    """The GPU at one moment."""

    reasons: FrozenSet[str]  # why its clock is low
    mhz: int  # of its multiprocessors; 0 if unknown
    pids: FrozenSet[int]  # with a context on it; in a container perhaps only its own


class GpuReader:
    """Reads the state of one GPU."""

    def __init__(self, uuid: str, library: str = LIBRARY) -> None:
        """Find the GPU of the driver's `uuid` (without the prefix GPU-)."""
        self._device = c_void_p()
        self._nvml: Any = None
        try:
            self._nvml = CDLL(library)
            found = not self._nvml.nvmlInit_v2() and not self._nvml.nvmlDeviceGetHandleByUUID(
                c_char_p(f'GPU-{uuid}'.encode()), byref(self._device))
        except (OSError, AttributeError):  # no driver, or one of before 2015
            found = False
        self._nvml = self._nvml if found else None

    def read(self) -> Optional[GpuState]:
        """Return the state; None without NVML."""
        if self._nvml is None:
            return None
        mask, mhz = c_ulonglong(), c_uint()
        self._ask('nvmlDeviceGetCurrentClocksThrottleReasons', byref(mask))
        self._ask('nvmlDeviceGetClockInfo', c_uint(SM_CLOCK), byref(mhz))
        return GpuState(frozenset(text for bit, text in REASONS.items() if mask.value & bit),
                        mhz.value, frozenset(self._pids()))

    def _pids(self) -> List[int]:
        count, found = c_uint(MOST_PROCESSES), (ProcessInfo * MOST_PROCESSES)()
        if self._ask('nvmlDeviceGetComputeRunningProcesses_v3', byref(count), found):
            return [process.pid for process in found[:count.value]]
        return []

    def _ask(self, name: str, *arguments: Any) -> bool:
        """Call a function of the device; return whether it answered."""
        function = getattr(self._nvml, name, None)
        return function is not None and function(self._device, *arguments) == 0


def explain(before: Sequence[GpuState], now: Sequence[GpuState]) -> str:
    """Return what is different on the GPU."""
    if not before or not now:
        return ''
    was, is_now = before[-1], now[-1]
    reasons = {reason for state in now for reason in state.reasons} - was.reasons
    found = [f'the GPU slows its clock: {", ".join(sorted(reasons))}'] if reasons else []
    new = sorted(is_now.pids - was.pids)
    if new:
        found.append('another process computes on the GPU: pid ' + ', '.join(map(str, new)))
    if not found and 0 < is_now.mhz < LOWER * was.mhz:
        found.append(f'the clock of the GPU is {is_now.mhz} MHz, {was.mhz} before')
    return '; '.join(found)
