"""A driving node between a camera process and a base, and what must always hold."""

import bisect
from contextlib import contextmanager
import math
from threading import Thread
import time

from geometry_msgs.msg import Twist
import rclpy
from rig import domain, Rig

from vla_nav_node.driving.diagnostics.statuses import ERROR, OK

from .processes import CameraProcess, LoggedNode, wait_for

IMAGE_TIMEOUT_S, PERIOD_S, FROZEN_S = 0.2, 0.02, 1.0  # the node's defaults
PROMISE_S = IMAGE_TIMEOUT_S + PERIOD_S
SLACK_S = 0.6  # for a busy machine; the table has the measured times
LIMIT = 0.8  # m/s, of the bundle
QUIET_S = 0.3  # of nothing but zeros: the robot stands
FRESH = 'a command is based on an image that is old or bad'


class Scene:
    """The start of every fault, and what must hold during all of them."""

    def __init__(self, scratch, bundle):
        """Join the graph; `ready` starts what is missing."""
        self.scratch, self.bundle = scratch, bundle
        self.rig = Rig()
        self.rig.node.destroy_publisher(self.rig.images)
        self.camera = CameraProcess(scratch)
        self.cameras = [self.camera]
        self.node = None
        self.distrust = []  # (from, to): sound images that a robot may not drive on
        self._checked = self._reported = 0

    def ready(self, **how):
        """Ensure a sound camera and a driving node; `how` is for a node that is started."""
        if self.node is None or not self.node.runs:
            self.node = LoggedNode(self.scratch, model=self.bundle.directory,
                                   allow_unverified=True, **how)
        if self.camera.shots[-1][1] != 'good':
            self.camera.play('good')
        self.drives(time.monotonic())

    def replace_camera(self):
        """Start another camera after it was killed."""
        self.camera = CameraProcess(self.scratch)
        self.cameras.append(self.camera)

    def moving(self, since):
        """Return the times of commands after `since` that are not zero."""
        return [at for at, x, y in self.rig.new_commands(since) if x or y]

    def zeros(self, since):
        """Return the times of zeros after `since`."""
        return [at for at, x, y in self.rig.new_commands(since) if not (x or y)]

    def drives(self, since, count=5):
        """Wait until the robot drives; return when it began."""
        return wait_for(lambda: (found := self.moving(since))[count - 1:] and found, 'driving')[0]

    def stands(self, since):
        """Wait until only zeros arrive; return when the first of them came."""
        def standing():
            now = time.monotonic()
            return (now - since > QUIET_S and self.zeros(max(since, now - QUIET_S))
                    and not self.moving(max(since, now - QUIET_S)))
        wait_for(standing, 'standing still')
        last = max(self.moving(since), default=since)
        return min(self.zeros(last))

    def ends_with_zero(self, since):
        """Wait until the last command is zero; return when the first of those zeros came."""
        def last_zeros():
            last = max(self.moving(since), default=since)
            return [at for at in self.zeros(since) if at > last]
        return min(wait_for(last_zeros, 'a zero at the end'))

    def diagnosed(self, line, since):
        """Wait until diagnostics report `line`, at its level or above; return when."""
        def matches(status):
            level, text, _ = status
            return line.text in text and (level >= line.level if line.level else level == OK)

        def found():
            return [at for at, entry in list(self.rig.diagnostics)
                    if at > since and matches(entry[line.status])]
        try:
            return wait_for(found, 'the line')[0]
        except AssertionError:
            last = [entry[line.status] for _, entry in self.rig.diagnostics[-2:]]
            raise AssertionError(f'no {line.text!r} in diagnostics, but {last}') from None

    def check(self):
        """Check every command and every report since the last check."""
        reports, self._reported = self.rig.diagnostics[self._reported:], len(self.rig.diagnostics)
        for _, entry in reports:
            errors = {name: status for name, status in entry.items() if status[0] == ERROR}
            assert len(errors) <= 1, f'one fault, but {errors}'
        commands = self.rig.commands[self._checked:]
        self._checked += len(commands)
        good = self._good_images()
        for at, x, y in commands:
            assert math.isfinite(x) and math.isfinite(y)
            assert max(abs(x), abs(y)) <= LIMIT
            assert y == 0.0, 'the node drove on a bad picture'
            if x:
                newest = good[bisect.bisect(good, at) - 1] if good and good[0] < at else -math.inf
                assert at - newest < PROMISE_S + SLACK_S, FRESH

    def _good_images(self):
        return sorted(taken for camera in self.cameras for taken, _, good in list(camera.shots)
                      if good and not any(begin < taken < end for begin, end in self.distrust))

    def remove_base(self):
        """Remove the base's subscription."""
        self.rig.node.destroy_subscription(next(
            found for found in self.rig.node.subscriptions if found.topic_name == '/cmd_vel'))

    def add_base(self):
        """Add the base's subscription again."""
        self.rig.node.create_subscription(Twist, 'cmd_vel', self.rig._on_command, 100)

    def close(self):
        """End everything."""
        self.rig.close()
        for process in (*self.cameras, self.node):
            if process is not None:
                process.end()


@contextmanager
def guest(name):
    """Add a node to the graph, as another process would."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain())
    node = rclpy.create_node(name, context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()


class Base:
    """A simulated base that obeys the node's commands."""

    def __init__(self, scene, timeout_s):
        """Start it; it stops if no command comes for `timeout_s`."""
        from vla_nav_node.sim.ros_node.paced_robot import PacedRobot
        from vla_nav_node.sim.world.world import World
        self._scene, self._ending = scene, False
        self.speeds = []  # (when, m/s)
        self._world, self._robot = World, PacedRobot
        self._timeout_s = timeout_s
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_for(lambda: self.speeds and self.speeds[-1][1] > 0.1, 'the base drives')

    def _run(self):
        world = self._world(64, 48)
        robot = self._robot(world, 0, '', 1e9, self._timeout_s, time.monotonic())
        while not self._ending:
            at, x, y = self._scene.rig.commands[-1]
            robot.command(x, y, at)
            robot.advance(time.monotonic())
            self.speeds.append((time.monotonic(), math.hypot(*world.velocity)))
            time.sleep(0.01)
        world.close()

    def stands(self, since):
        """Wait until it stands; return when."""
        return wait_for(lambda: [at for at, speed in self.speeds if at > since and speed < 0.01],
                        'the base stands')[0]

    def end(self):
        """End it."""
        self._ending = True
        self._thread.join()
