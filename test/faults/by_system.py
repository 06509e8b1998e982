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
IN_FLIGHT = 8  # unanswered calls of which ROS loses none: it keeps ten
# The base's own time-out, then its braking: from 0.8 to 0.01 m/s takes 4.4 of its lag.
BASE_STOPS_S = SIM_TIMEOUT_S + 4.4 * LAG
ACCELERATION = 2.5  # m/s2, the node's default
FROM_STANDING = ACCELERATION * 0.02 + 1e-6  # m/s: of one control period, its default
GONE_S = 1.2  # how long the base's subscription is missing


OTHER_TYPE = Line('driving', WARN, 'nobody listens to cmd_vel: geometry_msgs/msg/TwistStamped is '
                  'expected on /cmd_vel by /base')
OTHER_DRIVER = Line('graph', WARN, 'somebody else publishes on /cmd_vel: /joystick')
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
    """Call for good and bad parameters all at once, and then as fast as they are answered."""
    at = time.monotonic()
    client = scene.rig.clients[SetParametersAtomically]
    values = [('image_timeout', 0.2), ('max_linear_x', 0.8), ('max_linear_x', 99.0),
              ('control_period_ms', 20.0), ('control_period_ms', 'soon'), ('nonsense', True),
              ('device', 'auto'), ('backend', 'abacus')]
    calls = [SetParametersAtomically.Request(parameters=[
        Parameter(name, value=value).to_parameter_msg()])
        for name, value in (values[number % len(values)] for number in range(STORM))]
    for call in calls:
        client.remove_pending_request(client.call_async(call))  # most of them are lost on the way
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
    """See that no command is further from the one before than the ramp allows, but for stops."""
    DRIVES.check(scene, at)
    speeds = [x for _, x, _ in scene.rig.new_commands(at - 0.1)]
    steps = [abs(after - before) for before, after in zip(speeds, speeds[1:]) if after]
    assert max(steps) <= ACCELERATION * LONGEST_SLEW_S + 1e-6


def _disable_behind_all(scene: Scene) -> float:
    """Let calls that cannot be answered wait for a backend that hangs, then disable the robot."""
    rig = scene.rig
    for client in rig.clients.values():
        rig.until(client.service_is_ready, client.srv_name)
    assert rig.configure(image_timeout=5.0) == ''  # until then its last command is repeated
    scene.camera.play('hang')
    waiting = [rig.clients[Trigger].call_async(Trigger.Request()) for _ in range(2)]
    waiting += [rig.begin_to_configure(device='cpu') for _ in range(4)]
    at = time.monotonic()
    assert rig.call(SetBool, data=False).success
    assert not any(answer.done() for answer in waiting), 'nothing stood in its way'
    return at


def _leave(scene: Scene) -> float:
    """Take the base away, long enough for a report."""
    at = time.monotonic()
    scene.leave_wheels()
    scene.told(Line('driving', WARN, 'driving, but nobody listens to cmd_vel'), at)
    scene.join_wheels()
    return at


def _stamped_base(scene: Scene) -> float:
    """Put a base in the place of ours that reads the other type, long enough for a report."""
    at = time.monotonic()
    scene.leave_wheels()
    with guest('base') as node:
        node.create_subscription(TwistStamped, 'cmd_vel', print, 1)
        scene.told(OTHER_TYPE, at)
    scene.join_wheels()
    return at


def _joystick(scene: Scene) -> float:
    at = time.monotonic()
    with guest('joystick') as node:
        node.create_publisher(Twist, 'cmd_vel', 1)
        scene.told(OTHER_DRIVER, at)
    return at


def _namesake(scene: Scene) -> float:
    at = time.monotonic()
    with guest('vla_nav_node'):
        scene.told(NAMESAKE, at)
    return at


def _fill_disk(scene: Scene) -> float:
    """Let every write to a file fail from now on, and give the node something to log."""
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
    """Send a signal that no process survives or sees, with the simulated base at the wheels."""
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
    """See that zero leaves before the process stops, and that it goes on from standing."""
    zero = scene.ends_with_zero(at)
    wait_for(scene.node.is_stopped, 'the stop of the process')
    before = len(scene.rig.commands)
    _wake(scene)
    scene.drives(time.monotonic())
    first = next(x for _, x, _ in scene.rig.commands[before:] if x)
    assert abs(first) <= FROM_STANDING, f'{first} m/s at once'
    return zero


def _paused(scene: Scene, at: float) -> float:
    """See that the base stops, and nothing old drives it on when the node wakes."""
    stands = _base_stops(scene, at)
    before = len(scene.rig.commands)
    _wake(scene)
    wait_for(lambda: len(scene.rig.commands) > before + 10, 'commands after waking')
    scene.drives(time.monotonic())
    return stands


def _base_decides(scene: Scene, at: float) -> float:
    return _base_stops(scene, at)


def _respawned(scene: Scene, at: float) -> float:
    return scene.respawned


def _launch(scene: Scene) -> float:
    scene.node.signal(signal.SIGINT)
    assert scene.node.status() == 0
    killed, scene.respawned = launch_and_kill(scene)
    return killed


BASE_STOPS = Reaction('nobody can send a zero any more; the base times out (500 ms) and brakes',
                      _base_decides)
PAUSED = Reaction('the base times out (500 ms) and brakes; after SIGCONT only fresh commands',
                  _paused)
SMOOTH = Reaction('drives on, its acceleration limited', _drives_on_smoothly)
STOPPED = Reaction('sends zero, then stops; after `fg` it drives on from standing', _stopped)
RESPAWNED = Reaction('as above; `respawn:=true` starts it anew, and it drives again', _respawned)
FAULTS = [
    Fault('SIGINT', 'Ctrl-C', _signal(signal.SIGINT), ENDS, _ending('SIGINT')),
    Fault('SIGTERM', 'as systemd, docker and launch end a process', _signal(signal.SIGTERM), ENDS,
          _ending('SIGTERM')),
    Fault('SIGHUP', 'its terminal or ssh connection goes', _signal(signal.SIGHUP), ENDS,
          _ending('SIGHUP')),
    Fault('SIGQUIT', 'Ctrl-\\', _signal(signal.SIGQUIT), ENDS, _ending('SIGQUIT')),
    Fault('SIGTSTP, then SIGCONT', 'Ctrl-Z, then `fg`', _signal(signal.SIGTSTP), STOPPED,
          Line('driving', WARN, 'the process is stopped by SIGTSTP'), mend=_wake),
    Fault('SIGKILL', 'as the kernel ends a process when memory is short', _kill(signal.SIGKILL),
          BASE_STOPS, None, promise_s=BASE_STOPS_S),
    Fault('SIGKILL, respawned by launch', 'the same under `ros2 launch`', _launch, RESPAWNED,
          Line('driving', OK, 'driving'), promise_s=DRIVING_S, needs=('launch_ros',)),
    Fault('SIGSTOP', 'as a debugger or a frozen container does', _kill(signal.SIGSTOP), PAUSED,
          None, promise_s=BASE_STOPS_S, mend=_wake),
    Fault('ROS shut down under the node', 'something else in its process shuts its context down',
          _shut_down, ENDS, _ending('ROS was shut down'), mend=lambda scene: None),
    Fault('parameter storm', f'{STORM} calls at once, and {STORM} as fast as they are answered, '
          'half of them refused', _storm, DRIVES, Line('driving', OK, 'driving'), promise_s=None),
    Fault('reset in mid-drive', '`~/reset` is called at full speed', _reset, SMOOTH,
          Line('driving', OK, 'driving'), promise_s=None),
    Fault('disabled behind a hang', 'the backend hangs, two resets and four swaps wait for it, '
          'then `~/enable` false is called; ended by SIGINT', _disable_behind_all, STANDS,
          Line('driving', WARN, 'disabled: standing still'), mend=_end),
    Fault('base gone', "the base's subscription disappears, and comes back", _leave, DRIVES,
          Line('driving', WARN, 'driving, but nobody listens to cmd_vel'), promise_s=None),
    Fault('base of the other type', "the base's subscription expects TwistStamped", _stamped_base,
          DRIVES, OTHER_TYPE, promise_s=None),
    Fault('somebody else drives', 'a second node publishes on cmd_vel', _joystick, DRIVES,
          OTHER_DRIVER, promise_s=None),
    Fault('two nodes of one name', "a second node bears this node's name", _namesake, DRIVES,
          NAMESAKE, promise_s=None),
    Fault('disk full', 'every write to a file fails (RLIMIT_FSIZE 0), while it logs', _fill_disk,
          DRIVES, Line('driving', OK, 'driving'), promise_s=None, mend=_end),
]
