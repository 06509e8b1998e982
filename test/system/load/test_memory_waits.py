"""Whether memory is short."""

from planted_kernel import Clock, Planted
import pytest
from vla_nav_node.system.load.memory_waits import explain, MemoryReader, MemoryWaits

ALL_WELL = MemoryWaits(0.0, 0.0)


def test_faults_and_waits_between_two_readings(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = MemoryReader(linux.roots, clock)
    assert reader.read() is None
    linux.cpu(used=0, faults=7)
    linux.plant({'proc/pressure/memory': 'some avg10=0.00 total=100\nfull avg10=0.00 total=9'})
    assert reader.read() is None
    clock.now_s += 2.0
    linux.cpu(used=0, faults=107)
    linux.plant({'proc/pressure/memory': 'some avg10=9.00 total=500100\nfull total=9'})
    assert reader.read() == pytest.approx((50.0, 0.25))


def test_without_pressure_information_faults_are_enough(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = MemoryReader(linux.roots, clock)
    linux.cpu(used=0)
    reader.read()
    clock.now_s += 1.0
    assert reader.read() == ALL_WELL


def test_what_is_told():
    assert explain([ALL_WELL], [MemoryWaits(50.0, 0.3)]) == (
        'memory is short: 50 major page faults a second, 0 before')
    assert explain([ALL_WELL], [MemoryWaits(1.0, 0.3)]) == (
        'memory is short: processes wait for it 30% of the time, 0% before')
    assert explain([ALL_WELL], [ALL_WELL]) == explain([], []) == ''
