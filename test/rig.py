"""The real node in its own process, and the camera and the base around it."""

from array import array
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Event, Thread
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
import numpy as np
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from vla_nav_node.driving.diagnostics.statuses import ERROR, WARN

PATIENCE_S = 30.0  # for discovery and slow machines; usually no wait is that long
HEIGHT, WIDTH = 48, 64
NODE = [sys.executable, '-m', 'vla_nav_node.node.main']
FAULTY_NODE = [sys.executable, str(Path(__file__).with_name('faulty_node.py'))]


def domain():
    """Return a ROS domain for this process, which tests that run at the same time do not use."""
    return 30 + os.getpid() % 30


def environment(**more):
    """Return the environment of a ROS process in this domain."""
    return {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1]),
            'ROS_DOMAIN_ID': str(domain()), 'ROS_PYTHON_CHECK_FIELDS': '1',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **more}


def ros_arguments(parameters):
    """Return the command line that sets `parameters`."""
    return ['--ros-args', *(part for name, value in parameters.items()
                            for part in ('-p', f'{name}:={value}'))]


class NodeProcess:
    """The node, started as `ros2 run` does."""

    def __init__(self, *, command=NODE, env=None, arguments=(), **parameters):
        """Start it; its stderr is kept."""
        self.process = subprocess.Popen(
            [*command, *ros_arguments(parameters), *arguments], stderr=subprocess.PIPE, text=True,
            env=environment(**(env or {})))

    def finish(self, number=signal.SIGINT):
        """End it with a signal; return its exit status and stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """Wait until it has ended; return its exit status and stderr."""
        try:
            _, stderr = self.process.communicate(timeout=PATIENCE_S)
        finally:
            self.process.kill()
        return self.process.returncode, stderr

    def maps(self):
        """Return its memory map, which lists the loaded files."""
        with open(f'/proc/{self.process.pid}/maps') as file:
            return file.read()


class Rig:
    """A camera, a base and an operator, in this process."""

    def __init__(self, name='vla_nav_node', twist=Twist):
        """Join the graph and record everything that the node publishes."""
        self.context = rclpy.Context()
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        rclpy.init(context=self.context, domain_id=domain())
        self.node = rclpy.create_node('rig', context=self.context)
        self.commands, self.diagnostics, self.latencies = [], [], []
        self.hardware = {}  # name of a status: its hardware_id
        self.node.create_subscription(twist, 'cmd_vel', self._on_command, 100)
        self.node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, 100)
        self.node.create_subscription(
            Float64MultiArray, f'{name}/latency', self.latencies.append, 100)
        self.images = self.node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self.clients = {kind: self.node.create_client(kind, f'{name}/{service}') for
                        kind, service in ((Trigger, 'reset'), (SetBool, 'enable'),
                                          (SetParametersAtomically, 'set_parameters_atomically'),
                                          (GetParameters, 'get_parameters'),
                                          (DescribeParameters, 'describe_parameters'))}
        self.tuning = self.node.create_client(Trigger, f'{name}/retune')
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._ending = Event()
        self._thread = Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._ending.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def _on_command(self, msg):
        twist = msg.twist if isinstance(msg, TwistStamped) else msg
        self.commands.append((time.monotonic(), twist.linear.x, twist.linear.y))

    def _on_diagnostics(self, msg):
        self.hardware.update({status.name: status.hardware_id for status in msg.status})
        self.diagnostics.append((time.monotonic(), {
            status.name.split(': ')[1]: (status.level[0], status.message, {
                pair.key: pair.value for pair in status.values}) for status in msg.status}))

    def until(self, condition, what='it'):
        """Wait until `condition()` is true, and return its result."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            result = condition()
            if result:
                return result
            assert time.monotonic() < deadline, f'{what} did not happen'
            time.sleep(0.01)

    def say(self, status, part, since=None):
        """Wait until new diagnostics have `part` in `status`; return level, message, values."""
        since = time.monotonic() if since is None else since

        def found():
            return [entry[status] for at, entry in list(self.diagnostics)
                    if at > since and part in entry[status][1]]
        try:
            return self.until(found)[-1]
        except AssertionError:
            raise AssertionError(f'no {part!r} in {self.diagnostics[-1:]}') from None

    def errs(self, owner, part, since=None):
        """Wait until `owner` reports an ERROR with `part`, the only one; return the report."""
        self.say(owner, part, since)
        since = time.monotonic() if since is None else since

        def found():
            return [entry for at, entry in list(self.diagnostics) if at > since
                    and entry[owner][0] == ERROR and part in entry[owner][1]]
        report = self.until(found, f'an ERROR of {owner}')[0]
        assert [name for name, status in report.items() if status[0] == ERROR] == [owner]
        driving = report['driving']
        assert owner == 'driving' or (driving[0] == WARN and f'(see {owner})' in driving[1])
        return report

    def call(self, kind, **fields):
        """Call a service of the node and return its response."""
        client = self.clients[kind]
        self.until(client.service_is_ready, f'the service {client.srv_name}')
        answer = client.call_async(kind.Request(**fields))
        self.until(answer.done, f'the answer of {client.srv_name}')
        return answer.result()

    def retune(self):
        """Call ~/retune and return its response."""
        self.until(self.tuning.service_is_ready, 'the service ~/retune')
        answer = self.tuning.call_async(Trigger.Request())
        self.until(answer.done, 'the answer of ~/retune')
        return answer.result()

    def configure(self, **values):
        """Set parameters, all or none; return '' or the reason of the refusal."""
        answer = self.begin_to_configure(**values)
        self.until(answer.done, 'the answer to new parameters')
        result = answer.result().result
        assert result.successful != bool(result.reason)
        return result.reason

    def begin_to_configure(self, **values):
        """Request new parameters and return the future of the response."""
        client = self.clients[SetParametersAtomically]
        self.until(client.service_is_ready, 'the service of the parameters')
        return client.call_async(SetParametersAtomically.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]))

    def get(self, name):
        """Return a parameter's value."""
        value, = self.call(GetParameters, names=[name]).values
        return {ParameterType.PARAMETER_DOUBLE: value.double_value,
                ParameterType.PARAMETER_STRING: value.string_value,
                ParameterType.PARAMETER_BOOL: value.bool_value}[value.type]

    def now_ns(self):
        """Return the ROS time, ns."""
        return self.node.get_clock().now().nanoseconds

    def send(self, picture, **changes):
        """Publish a picture (uint8 [H, W, 3]); `stamp_ns` and fields of Image may be changed."""
        to_message = changes.pop('to_message', image_message)
        stamp_ns = changes.pop('stamp_ns', None)
        self.images.publish(to_message(
            picture, self.now_ns() if stamp_ns is None else stamp_ns, **changes))

    def new_commands(self, since):
        """Return the commands after `since`."""
        return [command for command in list(self.commands) if command[0] > since]

    def drives(self, since=None):
        """Wait until commands that are not zero arrive, and return them."""
        since = time.monotonic() if since is None else since
        return self.until(lambda: [command for command in self.new_commands(since)
                                   if command[1] or command[2]], 'driving')

    def stands(self, seconds=0.3):
        """Wait until only zeros have arrived for some time."""
        self.until(lambda: self.commands and not any(
            x or y for _, x, y in self.new_commands(time.monotonic() - seconds)), 'standing')
        assert self.commands[-1][1:] == (0.0, 0.0)

    def close(self):
        """Leave the graph."""
        self._ending.set()
        self._thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


class FaultyProcess:
    """A node, a rig around it, and the file that makes its backends fail."""

    def __init__(self, path, **parameters):
        """Start it; see faulty_node.py for the file at `path`."""
        self.path = path
        self.node = NodeProcess(command=FAULTY_NODE, env={'FAULT_FILE': str(path)}, **parameters)
        self.rig = Rig()

    def make(self, fault):
        """Cause a fault; return when."""
        beside = self.path.with_suffix('.new')
        beside.write_text(fault)
        beside.replace(self.path)
        return time.monotonic()

    def clear(self):
        """End the fault."""
        self.path.unlink(missing_ok=True)

    def close(self):
        """Leave the graph and kill the node."""
        self.clear()
        self.rig.close()
        self.node.process.kill()
        self.node.wait()


def image_message(picture, stamp_ns, **changes):
    """Return an rgb8 Image."""
    height, width = picture.shape[:2]
    msg = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    msg.data = array('B', picture.tobytes())
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def picture(seed, height=HEIGHT, width=WIDTH):
    """Return a picture of noise, uint8 [H, W, 3], different for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class CameraThread:
    """A camera that sends pictures at a rate, by default 50 a second."""

    def __init__(self, rig, rate=50.0, make=picture, **changes):
        """Send `make(number)` with `changes` as in Rig.send; `stamp_ns` takes the rig."""
        self.rig, self.rate, self.make, self.changes = rig, rate, make, changes
        self.stopped_at = 0.0
        self._ending = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self):
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(self, *error):
        """Stop sending."""
        self._ending.set()
        self._thread.join()
        self.stopped_at = time.monotonic()

    def _run(self):
        number, due = 0, time.monotonic()
        while not self._ending.wait(max(due - time.monotonic(), 0.0)):
            changes = dict(self.changes)
            if 'stamp_ns' in changes:
                changes['stamp_ns'] = changes['stamp_ns'](self.rig)
            self.rig.send(self.make(number), **changes)
            number, due = number + 1, due + 1.0 / self.rate
