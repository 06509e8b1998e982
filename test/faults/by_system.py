"""The faults of the machine, of its operators, and of what else runs there."""

import resource
import signal
import time

from geometry_msgs.msg import Twist, TwistStamped
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from vla_nav_node.driving.command_limits import LONGEST_SLEW_S
from vla_nav_node.sim.world.scene import LAG

from .fault import DRIVES, ENDS, Fault, Line, OK, Reaction, STANDS, WARN
from .launched import DRIVING_S, launch_and_kill, SIM_TIMEOUT_S
from .processes import SHUT_NODE, wait_for
from .scene import Base, guest, Scene
from .trap_policy import FORWARD

STORM = 400  # parameter calls
IN_FLIGHT = 8  # unanswered calls; ROS keeps ten and loses the others
# The base's time-out and its braking: from 0.8 to 0.01 m/s takes 4.4 times its lag.
BASE_STOPS_S = SIM_TIMEOUT_S + 4.4 * LAG
ACCELERATION = 2.5  # m/s2, the node's default
FROM_STANDING = ACCELERATION * 0.02 + 1e-6  # m/s, of one control period (its default)
GONE_S = 1.2  # how long the base's subscription is missing


OTHER_TYPE = Line('driving', WARN, 'no node receives cmd_vel: this node publishes '
                  'geometry_msgs/msg/Twist on /cmd_vel; expected geometry_msgs/msg/TwistStamped '
                  '(subscribed by /base)')
OTHER_PUBLISHER = Line('graph', WARN, 'another publisher on /cmd_vel: /joystick')
NAMESAKE = Line('graph', WARN, '2 nodes are named /vla_nav_node')


def _signal(number):
    return lambda scene: scene.node.signal(number)


def _ending(reason):
    return Line('driving', 2, f'standing still: the node ends: {reason}')


def _shut_down(scene: Scene) -> float:
    scene.node.signal(signal.SIGINT)
    assert scene.node.status() == 0
    scene.ready(command=SHUT_NODE)
    at = time.monotonic()
    scene.node.process.stdin.close()
    return at


def _storm(scene: Scene) -> float:
    """Set good and bad parameters all at once, then as fast as they are answered."""
    at = time.monotonic()
    client = scene.rig.clients[SetParametersAtomically]
    values = [('image_timeout', 0.2), ('max_linear_x', 0.8), ('max_linear_x', 99.0),
              ('control_period_ms', 20.0), ('control_period_ms', 'soon'), ('nonsense', True),
              ('device', 'auto'), ('backend', 'abacus')]
    calls = [SetParametersAtomically.Request(parameters=[
        Parameter(name, value=value).to_parameter_msg()])
        for name, value in (values[number % len(values)] for number in range(STORM))]
    for call in calls:
        client.remove_pending_request(client.call_async(call))  # most of them get lost
    answers = []
    for call in calls:
        wait_for(lambda: sum(not answer.done() for answer in answers) < IN_FLIGHT, 'an answer')
        answers.append(client.call_async(call))
    wait_for(lambda: all(answer.done() for answer in answers), 'all answers')
    assert sum(answer.result().result.successful for answer in answers) == STORM // 2
    return at


def _reset(scene: Scene) -> float:
    """Reset the policy at full speed."""
    wait_for(lambda: scene.rig.commands[-1][1] > 0.99 * FORWARD, 'full speed')
    at = time.monotonic()
    assert scene.rig.call(Trigger).success
    return at


def _drives_on_smoothly(scene: Scene, at: float) -> None:
    """Check that each command is within the ramp of the one before, except stops."""
    DRIVES.check(scene, at)
    speeds = [x for _, x, _ in scene.rig.new_commands(at - 0.1)]
    steps = [abs(after - before) for before, after in zip(speeds, speeds[1:]) if after]
    assert max(steps) <= ACCELERATION * LONGEST_SLEW_S + 1e-6


def _disable_during_hang(scene: Scene) -> float:
    """Disable the robot while unanswered calls wait for a backend that hangs."""
    rig = scene.rig
    for client in rig.clients.values():
        rig.until(client.service_is_ready, client.srv_name)
    assert rig.configure(image_timeout=2.0) == ''  # until then its last command is repeated
    scene.camera.play('hang')
    waiting = [rig.clients[Trigger].call_async(Trigger.Request()) for _ in range(2)]
    waiting += [rig.begin_to_configure(device='cpu') for _ in range(4)]
    at = time.monotonic()
    assert rig.call(SetBool, data=False).success
    assert not any(answer.done() for answer in waiting), 'no call was waiting: nothing was tested'
    return at


def _remove_base(scene: Scene) -> float:
    """Remove the base, long enough for a report."""
    at = time.monotonic()
    scene.remove_base()
    scene.diagnosed(Line('driving', WARN, 'driving, but no node receives cmd_vel'), at)
    scene.add_base()
    return at


def _stamped_base(scene: Scene) -> float:
    """Replace the base by one of the other type, long enough for a report."""
    at = time.monotonic()
    scene.remove_base()
    with guest('base') as node:
        node.create_subscription(TwistStamped, 'cmd_vel', print, 1)
        scene.diagnosed(OTHER_TYPE, at)
    scene.add_base()
    return at


def _joystick(scene: Scene) -> float:
    at = time.monotonic()
    with guest('joystick') as node:
        node.create_publisher(Twist, 'cmd_vel', 1)
        scene.diagnosed(OTHER_PUBLISHER, at)
    return at


def _namesake(scene: Scene) -> float:
    at = time.monotonic()
    with guest('vla_nav_node'):
        scene.diagnosed(NAMESAKE, at)
    return at


def _fill_disk(scene: Scene) -> float:
    """Let every write to a file fail from now on, and make the node log."""
    pid = scene.node.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    at = time.monotonic()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    size = scene.node.log.stat().st_size
    assert scene.rig.configure(device='cpu') == ''  # it would be logged
    assert scene.node.log.stat().st_size == size, 'the log still grows: nothing was tested'
    return at


def _end(scene: Scene) -> None:
    scene.node.signal(signal.SIGINT)
    assert scene.node.status() == 0


def _kill(number):
    """Send a signal that no process can handle, with a simulated base that obeys the node."""
    def make(scene: Scene) -> float:
        scene.base = Base(scene, SIM_TIMEOUT_S)
        return scene.node.signal(number)
    return make


def _base_stops(scene: Scene, at: float) -> float:
    stands = scene.base.stands(at)
    scene.base.end()
    return stands


def _wake(scene: Scene) -> None:
    scene.node.signal(signal.SIGCONT)


def _stopped(scene: Scene, at: float) -> float:
    """Check that a zero leaves before the process stops, and that it resumes from standstill."""
    zero = scene.ends_with_zero(at)
    wait_for(scene.node.is_stopped, 'the stop of the process')
    before = len(scene.rig.commands)
    _wake(scene)
    scene.drives(time.monotonic())
    first = next(x for _, x, _ in scene.rig.commands[before:] if x)
    assert abs(first) <= FROM_STANDING, f'{first} m/s at once'
    return zero


def _paused(scene: Scene, at: float) -> float:
    """Check that the base stops, and that no old command drives it when the node wakes."""
    stands = _base_stops(scene, at)
    before = len(scene.rig.commands)
    _wake(scene)
    wait_for(lambda: len(scene.rig.commands) > before + 10, 'commands after waking')
    scene.drives(time.monotonic())
    return stands


def _respawned(scene: Scene, at: float) -> float:
    return scene.respawned


def _launch(scene: Scene) -> float:
    scene.node.signal(signal.SIGINT)
    assert scene.node.status() == 0
    killed, scene.respawned = launch_and_kill(scene)
    return killed


BASE_STOPS = Reaction('no zero can be sent any more; the base times out (500 ms) and brakes',
                      _base_stops)
PAUSED = Reaction('the base times out (500 ms) and brakes; after SIGCONT only fresh commands',
                  _paused)
SMOOTH = Reaction('drives on, its acceleration limited', _drives_on_smoothly)
STOPPED = Reaction('sends zero, then stops; after `fg` it drives on from standing', _stopped)
RESPAWNED = Reaction('as above; `respawn:=true` starts it again, and it drives', _respawned)
FAULTS = [
    Fault('SIGINT', 'Ctrl-C', _signal(signal.SIGINT), ENDS, _ending('SIGINT')),
    Fault('SIGTERM', 'as systemd, docker and launch end a process', _signal(signal.SIGTERM), ENDS,
          _ending('SIGTERM')),
    Fault('SIGHUP', 'its terminal or ssh connection goes', _signal(signal.SIGHUP), ENDS,
          _ending('SIGHUP')),
    Fault('SIGQUIT', 'Ctrl-\\', _signal(signal.SIGQUIT), ENDS, _ending('SIGQUIT')),
    Fault('SIGTSTP, then SIGCONT', 'Ctrl-Z, then `fg`', _signal(signal.SIGTSTP), STOPPED,
          Line('driving', WARN, 'the process is stopped by SIGTSTP'), undo=_wake),
    Fault('SIGKILL', 'as the kernel ends a process when memory is short', _kill(signal.SIGKILL),
          BASE_STOPS, None, promise_s=BASE_STOPS_S),
    Fault('SIGKILL, respawned by launch', 'the same under `ros2 launch`', _launch, RESPAWNED,
          Line('driving', OK, 'driving'), promise_s=DRIVING_S, needs=('launch_ros',)),
    Fault('SIGSTOP', 'as a debugger or a frozen container does', _kill(signal.SIGSTOP), PAUSED,
          None, promise_s=BASE_STOPS_S, undo=_wake),
    Fault('ROS shut down under the node', 'something else in its process shuts its context down',
          _shut_down, ENDS, _ending('ROS was shut down'), undo=lambda scene: None),
    Fault('parameter storm', f'{STORM} calls at once, and {STORM} as fast as they are answered, '
          'half of them refused', _storm, DRIVES, Line('driving', OK, 'driving'), promise_s=None),
    Fault('reset in mid-drive', '`~/reset` is called at full speed', _reset, SMOOTH,
          Line('driving', OK, 'driving'), promise_s=None),
    Fault('disabled behind a hang', 'the backend hangs, two resets and four swaps wait for it, '
          'then `~/enable` false is called; ended by SIGINT', _disable_during_hang, STANDS,
          Line('driving', WARN, 'disabled: standing still'), undo=_end),
    Fault('base gone', "the base's subscription disappears, and comes back", _remove_base, DRIVES,
          Line('driving', WARN, 'driving, but no node receives cmd_vel'), promise_s=None),
    Fault('base of the other type', "the base's subscription expects TwistStamped", _stamped_base,
          DRIVES, OTHER_TYPE, promise_s=None),
    Fault('another publisher on cmd_vel', 'a second node publishes on cmd_vel', _joystick, DRIVES,
          OTHER_PUBLISHER, promise_s=None),
    Fault('two nodes of one name', "a second node bears this node's name", _namesake, DRIVES,
          NAMESAKE, promise_s=None),
    Fault('disk full', 'every write to a file fails (RLIMIT_FSIZE 0), while it logs', _fill_disk,
          DRIVES, Line('driving', OK, 'driving'), promise_s=None, undo=_end),
]
