"""A driving thread whose backend hangs: what replaces it, and when."""

from threading import Event, Thread
import time

from faulty import Faulty, frame, of_chain
import pytest
import tiny
from vla_nav_node.driving.command_limits import ActionCheck
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.policy.hang_recovery import HangRecovery
from vla_nav_node.policy.runtimes import Link, Runtime
from vla_nav_node.vision.preprocess import Preprocess

IMAGE_TIMEOUT_S = 0.05


class Scene:
    """A driving loop and its hang recovery, without ROS."""

    def __init__(self, bundle):
        """Assemble them with two backends, the first of which will hang."""
        self.backends = [Faulty(bundle, device='cpu') for _ in range(2)]
        self.backends[0].over = Event()
        self.policy = of_chain(bundle, [Link(Runtime(name), backend) for name, backend in zip(
            ('tensorrt', 'onnx'), self.backends)])
        settings = settings_of(parameters(bundle.limits, ('onnx',)),
                               {'image_timeout': IMAGE_TIMEOUT_S})
        self.sent, self.starts, self.wakes, self.threads = [], [], [], []
        cycle = Cycle(self.policy, Preprocess(bundle.input), ActionCheck())
        self.loop = DrivingLoop(cycle, CommandOutput(self.sent.append, settings), settings,
                                time.time_ns, lambda values: None)
        self.recovery = HangRecovery(self.loop, self.policy, self.start,
                                     lambda: self.wakes.append(1))
        self.stopping = Event()

    def start(self):
        """Start a driving thread."""
        self.threads.append(Thread(target=self.recovery.drive, args=(self.stopping,)))
        self.threads[-1].start()

    def see(self, seed):
        """Send a picture; return whether it is driven on within a second."""
        before = self.loop.last
        self.loop.mailbox.put(frame(seed))
        deadline = time.monotonic() + 1.0
        while self.loop.last is before and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.loop.last is not before

    def check_until_rescued(self):
        """Check as the watchdog does; a busy machine may enter the stage well before the step."""
        deadline = time.monotonic() + 10.0
        while not self.policy.has_fallen_back and time.monotonic() < deadline:
            self.recovery.check()
            time.sleep(0.001)

    def end(self):
        """End all threads."""
        self.stopping.set()
        self.backends[0].over.set()
        for thread in self.threads:
            thread.join(10.0)
            assert not thread.is_alive()


@pytest.fixture(name='scene')
def _scene(tmp_path):
    scene = Scene(tiny.write_tiny(tmp_path / 'tiny'))
    scene.start()
    yield scene
    scene.end()


def test_another_thread_replaces_one_that_hangs(scene):
    assert scene.see(0)
    scene.recovery.check()
    scene.backends[0].fault = 'hang'
    assert not scene.see(1)
    scene.recovery.check()  # a process that was stopped as a whole looks like this at first
    assert (len(scene.threads), scene.policy.has_fallen_back) == (1, False)
    scene.check_until_rescued()
    assert (len(scene.threads), scene.policy.has_fallen_back, scene.wakes) == (2, True, [1])
    assert 'infer has not come back for' in scene.recovery.warning()
    assert not scene.loop.cycle.recent_steps  # of what failed
    assert scene.see(2) and scene.see(3)
    last = scene.loop.last
    scene.backends[0].over.set()
    scene.threads[0].join(10.0)
    assert not scene.threads[0].is_alive()
    assert scene.loop.last is last
    assert scene.see(4)
    for _ in range(3):
        scene.recovery.check()
    assert len(scene.threads) == 2


def test_a_step_that_comes_back_in_time_is_left_alone(scene):
    scene.backends[0].fault = 'hang'
    assert not scene.see(0)
    scene.recovery.check()
    scene.backends[0].over.set()
    scene.backends[0].fault = ''
    assert scene.see(1)
    scene.recovery.check()
    scene.recovery.check()
    assert (len(scene.threads), scene.policy.has_fallen_back) == (1, False)
    assert scene.recovery.warning() == ''
