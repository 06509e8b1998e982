"""The node under `ros2 launch`, killed and started again."""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import time

from .fault import Line, OK
from .processes import ros_environment, wait_for

SIM_TIMEOUT_S = 0.5  # cmd_vel_timeout of the simulated base
DRIVING_S = 5.0  # from SIGKILL to driving again


def missing() -> str:
    """Return why nothing can be launched here; '' if it can."""
    if not shutil.which('ros2'):
        return 'the ros2 command is not installed'
    try:
        from ament_index_python import get_package_prefix
        prefix = get_package_prefix('vla_nav_node')
    except (ImportError, LookupError):
        return 'vla_nav_node is not installed by colcon'
    installed = Path(prefix, 'lib', 'vla_nav_node', 'vla_nav_node').exists()
    return '' if installed else 'vla_nav_node is not installed by colcon'


def launch_and_kill(scene):
    """Launch the node, kill it once it drives; return when that was and when it drove again."""
    env = ros_environment(scene.scratch)
    env.pop('PYTHONPATH')  # the installed package, not the checkout's
    env['PYTHONPATH'] = os.environ.get('PYTHONPATH', '')
    with open(scene.scratch / 'launch.log', 'wb') as log:
        launched = subprocess.Popen(
            ['ros2', 'launch', 'vla_nav_node', 'nav.launch.py', 'respawn:=true',
             f'model:={scene.bundle.directory}'], env=env, stdout=log, stderr=log,
            start_new_session=True)
    try:
        scene.drives(time.monotonic())
        killed = time.monotonic()
        os.kill(_child(launched.pid), signal.SIGKILL)
        silent = wait_for(lambda: not scene.rig.new_commands(time.monotonic() - 0.5)
                          and time.monotonic(), 'the end of the commands')
        back = scene.drives(silent)
        scene.diagnosed(Line('driving', OK, 'driving'), back)  # before the launch is over
        return killed, back
    finally:
        os.killpg(launched.pid, signal.SIGINT)
        launched.wait(20.0)


def _child(pid: int) -> int:
    """Return the child process of the launch."""
    found = subprocess.run(['pgrep', '-P', str(pid)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0])
