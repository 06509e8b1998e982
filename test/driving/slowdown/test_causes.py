"""Each cause on a machine that the test plants, through the whole watch."""

from planted_kernel import Planted
import pytest
from vla_nav_node.driving.slowdown.causes import Evidence
from watched import DUTY, Watched

POLICY = 'sys/devices/system/cpu/cpufreq/policy0/scaling_'
COOLING = 'sys/class/thermal/cooling_device0/'
WELL = {'proc/pressure/memory': 'some avg10=0.00 total=0',
        'proc/self/cgroup': '0::/', 'sys/fs/cgroup/cpu.max': 'max 100000',
        'sys/fs/cgroup/cpu.stat': 'nr_throttled 0',
        'sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count': '3',
        COOLING + 'type': 'thermal-cpufreq-0', COOLING + 'cur_state': '0',
        POLICY + 'governor': 'performance', POLICY + 'max_freq': '3000000',
        POLICY + 'cur_freq': '3000000'}
PLANTED = {
    'governor': ({POLICY + 'governor': 'powersave'},
                 'the governor of policy0 is powersave, performance before'),
    'limit': ({POLICY + 'max_freq': '1000000'}, 'the clock of policy0 is limited to 1000 MHz'),
    'clock': ({POLICY + 'cur_freq': '1000000'}, 'the clock of policy0 is 1000 MHz, 3000 before'),
    'cooling': ({COOLING + 'cur_state': '2'}, 'thermal-cpufreq-0 (cooling_device0) is at 2'),
    'quota': ({'sys/fs/cgroup/cpu.max': '50000 100000'}, 'its control group may use 0.5 cores')}


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return a node that has learned on a machine where all is well."""
    watched = Watched(tmp_path, monkeypatch)
    watched.linux.plant(WELL)
    watched.open_readers()
    watched.drive(80)
    return watched


@pytest.mark.parametrize('cause', PLANTED)
def test_a_cause_is_named_within_five_seconds(node, cause):
    files, text = PLANTED[cause]
    node.linux.plant(files)
    assert node.named_within(10, infer=1.3) < 5.0
    assert text in node.result.values['slower because']


def grow(node, name, text, by):
    """Let a counter grow while the node is slow; return what is said."""
    for total in range(by, 20 * by, by):
        node.linux.plant({name: text.format(total)})
        if node.drive(1, infer=1.3).message:
            return node.result.values['slower because']
    raise AssertionError('nothing is told')


@pytest.mark.parametrize('name, text, by, said', [
    ('sys/fs/cgroup/cpu.stat', 'nr_throttled {}', 8, 'has used up its quota'),
    ('sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count', '{}', 5,
     'thermal throttling: the cores were slowed')])
def test_a_counter_that_grows_is_named(node, name, text, by, said):
    assert said in grow(node, name, text, by)


def test_stolen_time_and_other_processes(node):
    node.steal = 0.2
    node.named_within(10, infer=1.3)
    assert 'the host of this virtual machine takes 20% of its time' in node.result.message


def test_the_busiest_process_is_named(node):
    node.others = 1.9
    stat = f'7 (hog) R {" ".join(["0"] * 10)} {{}} {" ".join(["0"] * 7)} 5'
    for ticks in range(0, 1000, 100):
        node.linux.plant({'proc/7/stat': stat.format(ticks)})
        if node.drive(1, infer=1.3).message:
            break
    assert 'most: hog (pid 7)' in node.result.message


def test_nothing_at_all_can_be_read(tmp_path):
    (tmp_path / 'proc').mkdir()
    evidence = Evidence(Planted(tmp_path).roots)
    for second in range(5):
        evidence.sample(DUTY._replace(at_s=float(second)), urgent=True)
        evidence.learn(is_quiet=True)
    evidence.settle(is_quiet=True)
    assert evidence.causes().texts == []
    assert str(evidence.causes()).startswith('unknown')
    assert evidence.load() == evidence.learned_load() == ''
