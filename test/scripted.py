"""The driving loop without ROS, with a scripted policy and clocks that the test moves."""

from contextlib import suppress

import numpy as np
from vla_nav_node.driving.command_limits import ABSURD_FACTOR, ActionCheck
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.parameters import parameters, settings_of, updated
from vla_nav_node.policy.fallback import Abandoned, FallbackPolicy
from vla_nav_node.policy.runtimes import Chain, Link, Runtime
from vla_nav_node.types import BackendInfo, Frame
from vla_nav_node.vision.preprocess import InputSpec, Preprocess

LIMIT = 0.8  # m/s
MS = 1_000_000  # ns
SIDE = 16  # pixels


class Scripted:
    """A backend that returns `robot.wants`; its state counts the steps since the last reset."""

    fits_cache = False
    info = BackendInfo('onnx', 'scripted', '1', 'cpu', 'none', 'fp32')

    def __init__(self, robot):
        """Return the actions that `robot` wants."""
        self.robot = robot
        self.does = []  # callables for the next steps; a result replaces the action

    def infer(self, image, state):
        """Count the step and run its callable."""
        self.robot.memories.append(int(state[0][0]))
        wants = self.robot.wants
        if self.does:
            wants = self.does.pop(0)() or wants
        return np.array([wants], np.float32), (state[0] + 1,)

    def close(self):
        """Release nothing."""


class Robot:
    """The driving thread's work, done by the test; the watchdog runs as time passes."""

    def __init__(self, backends=1, **values):
        """Assemble it as the node does; `values` are parameters."""
        self.now_ns, self.ros_ns, self.rate = 10 ** 10, 1_700_000_000 * 10 ** 9, 1.0
        self.sent, self.memories, self.latencies = [], [], []
        self.wants = (LIMIT, 0.0)
        self.frames = 0
        self.table = parameters({'linear_x': LIMIT, 'linear_y': LIMIT}, ('onnx', 'torch'))
        settings = settings_of(self.table, values)
        action_check = ActionCheck(ABSURD_FACTOR * LIMIT)
        self.backends = [Scripted(self) for _ in range(backends)]
        links = [Link(Runtime(name), backend)
                 for name, backend in zip(('onnx', 'torch'), self.backends)]
        self.policy = FallbackPolicy(Chain(tuple(links), 0), (np.zeros(1, np.float32),),
                                     action_check.problem)
        self.output = CommandOutput(self._send, settings, lambda: self.now_ns)
        cycle = Cycle(self.policy, Preprocess(InputSpec(SIDE, SIDE)), action_check)
        self.loop = DrivingLoop(cycle, self.output, settings, lambda: self.ros_ns,
                                self.latencies.append)
        self._tick_ns = self.now_ns

    def _send(self, command):
        self.sent.append((self.now_ns, command))

    @property
    def speed(self):
        """Return the last command's speed forward."""
        return self.sent[-1][1].linear_x

    def configure(self, **values):
        """Set parameters as the parameter service does."""
        self.loop.apply(updated(self.loop.settings, self.table, values))
        self.pass_ms(0)

    def pass_ms(self, ms):
        """Let time pass, and run the watchdog when it is due or woken."""
        end_ns = self.now_ns + int(ms * MS)
        while True:
            if self.output.woken.is_set() or self.now_ns >= self._tick_ns:
                self.output.woken.clear()
                # At least 1 ns later: a thread takes its time to sleep.
                self._tick_ns = self.now_ns + max(round(self.output.tick() * 1e9), 1)
            step_ns = min(end_ns, self._tick_ns) - self.now_ns
            if step_ns <= 0:
                return
            self.now_ns += step_ns
            self.ros_ns += round(step_ns * self.rate)

    def frame(self, age_ms=5.0, **changes):
        """Return the next picture, taken `age_ms` ago on the ROS clock and received now."""
        self.frames += 1
        data = np.random.default_rng(self.frames).integers(0, 256, 3 * SIDE * SIDE, np.uint8)
        return Frame(**{'data': data.tobytes(), 'encoding': 'rgb8', 'height': SIDE, 'width': SIDE,
                        'step': 3 * SIDE, 'stamp_ns': self.ros_ns - round(age_ms * MS),
                        'received_ns': self.now_ns, 'sequence': self.frames, **changes})

    def see(self, frame=None, after_ms=20, **changes):
        """Let `after_ms` pass, drive on the next picture, and return the command sent."""
        self.pass_ms(after_ms)
        with suppress(Abandoned):
            self.loop.drive(frame or self.frame(**changes))
        self.pass_ms(0)
        return self.sent[-1][1]

    def go(self, frames=25):
        """Drive on some good pictures."""
        for _ in range(frames):
            self.see()
        return self
