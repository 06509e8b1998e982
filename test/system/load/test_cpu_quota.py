"""The limits of control groups."""

import math

from planted_kernel import Planted
from vla_nav_node.system.load.cpu_quota import explain, Quota, QuotaReader


def test_version_two_with_the_limit_of_a_group_above(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({'proc/self/cgroup': '0::/robot/node',
                 'sys/fs/cgroup/robot/cpu.max': 'max 100000',
                 'sys/fs/cgroup/robot/cpu.stat': 'usage_usec 1\nnr_throttled 3',
                 'sys/fs/cgroup/robot/node/cpu.stat': 'nr_throttled 0'})
    reader = QuotaReader(linux.roots)
    before = reader.read()
    assert before == (math.inf, 0, 3)  # what was throttled before does not count
    linux.plant({'sys/fs/cgroup/robot/cpu.max': '150000 100000',
                 'sys/fs/cgroup/robot/cpu.stat': 'nr_throttled 8'})
    now = reader.read()
    assert now == (1.5, 5, 8)
    assert explain([before], [now]) == (
        'its control group may use 1.5 cores, any number before (cpu.max)')


def test_version_one_and_a_container_whose_group_is_the_root_of_its_mount(tmp_path):
    linux = Planted(tmp_path)
    linux.plant({'proc/self/cgroup': '4:cpu,cpuacct:/docker/1234\n0::/',
                 'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '200000',
                 'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
                 'sys/fs/cgroup/cpu/cpu.stat': 'nr_throttled 1'})
    assert QuotaReader(linux.roots).read() == (2.0, 0, 1)
    linux.plant({'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1'})
    assert QuotaReader(linux.roots).read() == (math.inf, 0, 1)


def test_without_control_groups(tmp_path):
    linux = Planted(tmp_path)
    assert QuotaReader(linux.roots).read() is None
    linux.plant({'proc/self/cgroup': '0::/'})
    assert QuotaReader(linux.roots).read() is None


def test_a_quota_that_is_used_up_more_often():
    usual, often = [Quota(2.0, 1)] * 5, [Quota(2.0, 6)] * 3
    assert 'has used up its quota of 2 cores in 6.0 periods a reading, 1.0 before' in explain(
        usual, often)
    assert explain(usual, usual) == explain(usual, []) == ''
