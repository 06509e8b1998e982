"""What slows a GPU down, from a library that the test makes up: no GPU is needed."""

import pytest
from vla_nav_node.system.load import nvml
from vla_nav_node.system.load.nvml import explain, GpuReader, GpuState


class Library:
    """NVML of one GPU."""

    def __init__(self):
        """Begin with all well."""
        self.reasons, self.mhz, self.pids, self.uuid = 0x1, 1900, [10], ''

    def nvmlInit_v2(self):
        """Succeed."""
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, device):
        """Note the UUID."""
        self.uuid = uuid.value
        return 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device, mask):
        """Fill in the mask."""
        mask._obj.value = self.reasons
        return 0

    def nvmlDeviceGetClockInfo(self, device, kind, mhz):
        """Fill in the clock."""
        mhz._obj.value = self.mhz
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, device, count, found):
        """Fill in the processes."""
        count._obj.value = len(self.pids)
        for index, pid in enumerate(self.pids):
            found[index].pid = pid
        return 0


@pytest.fixture
def library(monkeypatch):
    """Replace the driver's library."""
    library = Library()
    monkeypatch.setattr(nvml, 'CDLL', lambda name: library)
    return library


def test_reasons_and_processes(library):
    reader = GpuReader('12-34')
    before = reader.read()
    assert library.uuid == b'GPU-12-34'
    assert before == GpuState(frozenset(), 1900, frozenset({10}))  # idle is no reason
    library.reasons, library.pids = 0x1 | 0x4 | 0x20, [10, 4711]
    assert explain([before], [reader.read()]) == (
        'the GPU slows its clock: power limit, thermal limit (software); another process computes '
        'on the GPU: pid 4711')


def test_a_low_clock_without_a_reason(library):
    reader = GpuReader('12-34')
    before, library.mhz = reader.read(), 600
    assert explain([before], [reader.read()]) == 'the clock of the GPU is 600 MHz, 1900 before'
    assert explain([before], [before]) == explain([], []) == ''


def test_a_driver_without_some_of_the_functions(library, monkeypatch):
    monkeypatch.delattr(Library, 'nvmlDeviceGetComputeRunningProcesses_v3')
    assert GpuReader('12-34').read().pids == frozenset()


def test_without_the_library_nothing_is_read():
    assert GpuReader('12-34', 'libthere-is-none.so').read() is None
