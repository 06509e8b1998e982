"""Clocks and governors."""

from planted_kernel import Planted
from vla_nav_node.system.load.clocks import ClockReader, explain

POLICY = 'sys/devices/system/cpu/cpufreq/policy0'
GPU = 'sys/class/devfreq/17000000.ga10b'


def plant(linux, governor='performance', most=3_000_000, now=3_000_000, gpu=1_000_000_000):
    """Write the files of a Jetson."""
    linux.plant({f'{POLICY}/scaling_governor': governor, f'{POLICY}/scaling_max_freq': str(most),
                 f'{POLICY}/scaling_cur_freq': str(now), f'{GPU}/governor': 'nvhost_podgov',
                 f'{GPU}/max_freq': str(gpu), f'{GPU}/cur_freq': str(gpu)})


def explained(tmp_path, **changes):
    """Return what is said of changes."""
    linux = Planted(tmp_path)
    plant(linux)
    reader = ClockReader(linux.roots)
    before = reader.read()
    assert before['policy0'] == ('performance', 3e9, 3e9)
    plant(linux, **changes)
    return explain([before], [reader.read()])


def test_another_governor(tmp_path):
    assert explained(tmp_path, governor='powersave', now=800_000) == (
        'the governor of policy0 is powersave, performance before')


def test_a_lower_limit(tmp_path):
    assert explained(tmp_path, most=2_000_000) == (
        'the clock of policy0 is limited to 2000 MHz, 3000 before')


def test_a_lower_clock(tmp_path):
    assert explained(tmp_path, now=2_000_000) == 'the clock of policy0 is 2000 MHz, 3000 before'


def test_the_clock_of_an_integrated_gpu(tmp_path):
    assert explained(tmp_path, gpu=306_000_000) == (
        'the clock of 17000000.ga10b is limited to 306 MHz, 1000 before')


def test_small_changes_are_none(tmp_path):
    assert explained(tmp_path, now=2_900_000) == ''


def test_one_low_reading_among_several_is_none(tmp_path):
    linux = Planted(tmp_path)
    reader = ClockReader(linux.roots)
    assert reader.read() == {}  # a virtual machine
    plant(linux)
    reader = ClockReader(linux.roots)
    high = reader.read()
    plant(linux, now=1_000_000)
    assert explain([high], [high, reader.read(), high]) == explain([], [high]) == ''
