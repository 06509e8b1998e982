"""
The simulated robot on ROS 2: a camera and odometry out, cmd_vel in.

The main thread owns the world and its OpenGL context: it steps, renders and publishes. A second
thread serves ROS, so that a command never waits for a picture (MuJoCo releases the GIL).
"""

from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError as FutureTimeout
import json
import math
import os
import queue
import random
import signal
import sys
import threading
import time

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from .command_subscriptions import CommandSubscriptions
from .next_episode import DRIVER_RESET, LOOP, NextEpisode
from .paced_robot import FrameClock, PacedRobot
from .sim_camera import Camera
from .sim_parameters import declare, NEIGHBOURS, TABLE
from ..world import rendering
from ...errors import VlaNavError
from ...node.start.ros_arguments import refuse_non_ros
from ...node.start.shutdown_context import NodeContext, start
from ...node.start.unused_settings import refuse_unused

NAME = 'sim_node'
ABOUT = """Simulate a robot: a camera and odometry out, cmd_vel in, until a signal ends it.

parameters: """ + ', '.join(row.name for row in TABLE)
TOPICS = ('image', 'image/compressed', 'cmd_vel', 'odom', '~/episode', '~/reset', DRIVER_RESET)
TICK_S = 0.01  # how often the world catches up with the clock between two frames
RESET_S = 5.0  # the longest wait for a reset
REPORT_S = 10.0  # between two warnings of one kind
MAX_LOSS = 0.02  # share of the frames skipped, or of the time lost, above which to warn
ODOM_FRAME, BASE_FRAME = 'odom', 'base_link'  # REP 105


class SimRobot(Node):
    """The robot on ROS; `tick` is for the thread that made it, callbacks come from another."""

    def __init__(self, context: NodeContext) -> None:
        """Read the parameters, build the world and join the graph."""
        super().__init__('sim_robot', context=context)
        self.settings = settings = declare(self)
        refuse_unused(self, context.arguments, TOPICS, NEIGHBOURS)
        world = _build_world(settings.width, settings.height)
        now = time.monotonic()
        self.robot = PacedRobot(world, settings.seed, settings.scenario, settings.time_limit,
                                settings.cmd_vel_timeout, now)
        self._frames = FrameClock(settings.frame_rate, now)
        self._loss = random.Random(settings.seed)
        self._resets: 'queue.SimpleQueue[Future]' = queue.SimpleQueue()
        self._report_at = now + REPORT_S
        self._camera = Camera(self, settings)
        self._odom = self.create_publisher(Odometry, 'odom', 10)
        self._episode = self.create_publisher(
            String, '~/episode', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._commands = CommandSubscriptions(self, self._on_twist)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._next = NextEpisode(self, settings.episodes == LOOP)
        self.get_logger().info(
            f'{settings.width}x{settings.height} at {settings.frame_rate:g} Hz; '
            + self._describe())

    def close(self) -> None:
        """Release the renderer and leave the graph; call from the thread that made this."""
        self._commands.close()
        self.robot.world.close()
        self.destroy_node()

    def tick(self) -> float:
        """Advance the world to now, publish a frame if one is due; return seconds to wait."""
        self._serve_resets()
        now = time.monotonic()
        running = not self.robot.outcome
        self.robot.advance(now)
        if self._next.is_due(now):
            self._start_next()
        elif running and self.robot.outcome:
            self._next.after(f'{self.robot.outcome}: {self._describe()}', now)
        if self._frames.due(now):
            self._publish_frame()
        if now > self._report_at:
            self._report(now)
        return max(0.0, min(self._frames.next, now + TICK_S) - time.monotonic())

    def _publish_frame(self) -> None:
        stamp = self.get_clock().now().to_msg()
        self._odom.publish(_odometry(stamp, self.robot.world))
        self._publish_episode()
        if self._loss.random() >= self.settings.frame_loss:
            self._camera.publish(stamp, self.robot.world.render())

    def _publish_episode(self) -> None:
        self._episode.publish(String(data=json.dumps(self.robot.episode())))

    def _serve_resets(self) -> None:
        while not self._resets.empty():
            request = self._resets.get()
            self._start_next()
            request.set_result(self._describe())

    def _start_next(self) -> None:
        self.robot.reset(time.monotonic())
        self._publish_episode()
        self._next.started()
        self.get_logger().info(f'a new episode: {self._describe()}')

    def _report(self, now: float) -> None:
        """Warn if this machine is too slow for real time; restart the counts."""
        skipped, lost_s = self._frames.skipped, self.robot.lost_s
        frames = REPORT_S / self._frames.period
        if skipped > MAX_LOSS * frames or lost_s > MAX_LOSS * REPORT_S:
            self.get_logger().warning(
                f'too slow for real time: {skipped} of {frames:.0f} frames skipped and '
                f'{lost_s:.1f} of {REPORT_S:.0f} s not simulated; fix: a smaller width and '
                'height, a lower frame_rate, or less load on this machine')
        self._frames.skipped, self.robot.lost_s = 0, 0.0
        self._report_at = now + REPORT_S

    def _describe(self) -> str:
        layout = self.robot.layout
        return f'seed {layout.seed}, scenario {layout.scenario}'

    def _on_twist(self, msg: Twist) -> None:
        if math.isfinite(msg.linear.x) and math.isfinite(msg.linear.y):
            self.robot.command(msg.linear.x, msg.linear.y, time.monotonic())
        else:
            self.get_logger().error('a cmd_vel that is not finite is ignored',
                                    throttle_duration_sec=REPORT_S)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Have the thread that owns the world start the next episode, and wait for it."""
        request: 'Future[str]' = Future()
        self._resets.put(request)
        try:
            response.message, response.success = request.result(RESET_S), True
        except FutureTimeout:
            response.message = f'no reset within {RESET_S:g} s'
        return response


def _build_world(width: int, height: int):
    os.environ['MUJOCO_GL'] = rendering.choose()
    from ..world.world import World  # imports MuJoCo, which reads that variable
    return World(width, height)


def _odometry(stamp, world) -> Odometry:
    msg = Odometry(child_frame_id=BASE_FRAME)
    msg.header.stamp = stamp
    msg.header.frame_id = ODOM_FRAME
    position, orientation = msg.pose.pose.position, msg.pose.pose.orientation
    position.x, position.y, yaw = world.pose
    orientation.z, orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    msg.twist.twist.linear.x, msg.twist.twist.linear.y = world.velocity
    return msg


def run(node: SimRobot, stop: threading.Event) -> None:
    """Simulate in this thread and serve ROS in another one, until `stop` is set."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(_serve, executor, stop)
        try:
            while not stop.is_set():
                stop.wait(node.tick())
        finally:
            stop.set()
    executor.shutdown()
    served.result()  # raises what a callback raised


def _serve(executor: SingleThreadedExecutor, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    finally:
        stop.set()


def main(args=None) -> int:
    """Run the simulated robot until SIGINT or SIGTERM; return the exit status."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    context = None
    try:
        arguments = sys.argv[1:] if args is None else args
        refuse_non_ros(NAME, ABOUT, arguments)
        context = start(arguments)
        node = SimRobot(context)
        try:
            run(node, stop)
        finally:
            node.close()
    except VlaNavError as error:
        print(f'{NAME}: {error}', file=sys.stderr)
        return 2
    finally:
        if context is not None:
            context.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
