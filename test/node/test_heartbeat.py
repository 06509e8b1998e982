"""The bond to a lifecycle manager: formed, broken, and proof of the watchdog."""

from contextlib import closing
import sys
import time

from manager import Manager
import pytest
from rclpy.duration import Duration
from rig import NodeProcess, PATIENCE_S, Rig
from tiny import write_tiny

bond = pytest.importorskip('bond', reason='the ROS package bond is not installed')
bondpy = pytest.importorskip('bondpy.bondpy', reason='the ROS package bondpy is not installed')

# The node, with a watchdog thread that hangs while the file given first exists.
HANGING = [sys.executable, '-c', (
    'import sys, time\n'
    'from pathlib import Path\n'
    'from vla_nav_node.driving.command_output import CommandOutput\n'
    'from vla_nav_node.node import main\n'
    'fault, tick = Path(sys.argv.pop(1)), CommandOutput.tick\n'
    'def hang(self):\n'
    '    while fault.exists():\n'
    '        time.sleep(0.01)\n'
    '    return tick(self)\n'
    'CommandOutput.tick = hang\n'
    'sys.exit(main.main())\n')]


@pytest.fixture
def rig(tmp_path):
    """Start a node for a manager, and be the manager."""
    bundle = write_tiny(tmp_path / 'tiny')
    node = NodeProcess(command=[*HANGING, str(tmp_path / 'hang')], model=bundle.directory,
                       autostart='false')
    with closing(Rig()) as rig:
        rig.manager = Manager(rig)
        assert rig.manager.change('configure')
        yield rig
    assert node.finish()[0] == 0


def formed(rig, name='vla_nav_node'):
    """Return a bond as bondcpp's in nav2_lifecycle_manager, once it is formed."""
    bond = bondpy.Bond(rig.node, 'bond', name)
    bond.heartbeat_timeout = 1.0
    bond.heartbeat_period = 0.1
    bond.start()
    assert bond.wait_until_formed(Duration(seconds=PATIENCE_S)) and not bond.is_broken()
    return bond


def test_each_activation_forms_a_bond_and_deactivation_breaks_it(rig):
    for _ in range(3):
        assert rig.manager.change('activate')
        bond = formed(rig)
        assert rig.manager.change('deactivate')
        assert bond.wait_until_broken(Duration(seconds=PATIENCE_S))


def test_it_breaks_when_the_watchdog_hangs_though_the_process_lives(rig, tmp_path):
    assert rig.manager.change('activate')
    bond = formed(rig)
    time.sleep(2.0)
    assert not bond.is_broken()
    (tmp_path / 'hang').touch()
    assert bond.wait_until_broken(Duration(seconds=PATIENCE_S))
    (tmp_path / 'hang').unlink()
