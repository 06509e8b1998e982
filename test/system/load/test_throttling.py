"""Heat and power limits."""

from planted_kernel import Planted
from vla_nav_node.system.load.throttling import explain, ThrottlingReader

COUNT = 'sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count'
COOLING = 'sys/class/thermal/cooling_device{}'


def test_a_cooling_device_that_slows_the_cores_but_not_a_fan(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({COOLING.format(0) + '/type': 'cpu-throttle-alert',
                 COOLING.format(0) + '/cur_state': '0', COOLING.format(1) + '/type': 'pwm-fan',
                 COOLING.format(1) + '/cur_state': '0',
                 'sys/class/thermal/thermal_zone0/temp': '97500'})
    reader = ThrottlingReader(linux.roots)
    before = reader.read()
    linux.plant({COOLING.format(1) + '/cur_state': '3'})
    assert explain([before], [reader.read()]) == explain([], [before]) == ''
    linux.plant({COOLING.format(0) + '/cur_state': '1'})
    assert explain([before], [reader.read()]) == (
        'thermal throttling at 98 degrees C: cpu-throttle-alert (cooling_device0) is at 1, '
        '0 before')


def test_the_counters_of_x86(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({COUNT: '40'})
    reader = ThrottlingReader(linux.roots)
    before = reader.read()
    assert explain([before], [reader.read(), reader.read()]) == ''
    start = reader.read()
    linux.plant({COUNT: '45'})
    assert explain([before], [start, reader.read()]) == (
        'thermal throttling: the cores were slowed (5 events)')


def test_over_currents(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({'sys/class/hwmon/hwmon3/oc1_event_cnt': '0'})
    reader = ThrottlingReader(linux.roots)
    before = reader.read()
    linux.plant({'sys/class/hwmon/hwmon3/oc1_event_cnt': '2'})
    assert explain([before], [reader.read()]) == (
        'over-current: the power supply limits the machine (2 events)')


def test_a_machine_that_shows_none_of_it(tmp_path):
    assert ThrottlingReader(Planted(tmp_path).roots).read() is None
