"""Whether a kernel runs under a hypervisor."""

from planted_kernel import Planted
import pytest
from vla_nav_node.system.load.virtual_machine import is_virtual


@pytest.mark.parametrize('name, text, virtual', [
    ('proc/cpuinfo', 'processor : 0\nflags\t: fpu vme hypervisor avx', True),
    ('proc/cpuinfo', 'processor : 0\nflags\t: fpu vme avx', False),
    ('sys/hypervisor/type', 'xen', True),
    ('proc/device-tree/hypervisor/compatible', 'linux,kvm', True)])
def test_what_a_kernel_tells(tmp_path, name, text, virtual):
    linux = Planted(tmp_path)
    assert not is_virtual(linux.roots)
    linux.plant({name: text})
    assert is_virtual(linux.roots) == virtual
