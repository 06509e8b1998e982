"""Swaps that fail in every way: who drives then, and that nothing stays open for nobody."""

from threading import Event, Thread
import time

from faulty import Faulty, of_chain
import numpy as np
import pytest
import tiny
from vla_nav_node.backends import BACKENDS
from vla_nav_node.bundle.changes import BundleChanges
from vla_nav_node.driving import loop as driver_module
from vla_nav_node.driving.command_limits import CommandLimits
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle, Step
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.settings import parameters, settings_of
from vla_nav_node.errors import BackendError, VlaNavError
from vla_nav_node.policy import hot_swap as swap_module
from vla_nav_node.policy.fallback import Link
from vla_nav_node.policy.hot_swap import HotSwap
from vla_nav_node.policy.runtime_opener import RuntimeOpener
from vla_nav_node.policy.runtime_spec import Runtime
from vla_nav_node.types import Frame
from vla_nav_node.vision.preprocess import Preprocess

NEW = Runtime('onnx', device='cpu')
SPARES = (NEW,)


class Counted(Faulty):
    """Fails when it is told to, at closing too, and counts how often it is closed."""

    closed = 0

    def close(self):
        """Count, and raise if that is the fault."""
        self.closed += 1
        if self.fault == 'close':
            raise RuntimeError('the driver has gone')


class Scene:
    """A node's swapper, policy and driver, without ROS; backends that `faults` are given to."""

    def __init__(self, bundle):
        """Put them together; nobody drives yet."""
        self.bundle, self.opened, self.prepare = bundle, [], lambda backend: None
        self.over, self.stopping, self.threads = Event(), Event(), []
        self.old = Counted(bundle, device='cpu')
        self.policy = of_chain(bundle, [Link(Runtime('onnx'), self.old)])
        settings = settings_of(parameters(bundle.limits, tuple(BACKENDS)), {'image_timeout': 0.2})
        cycle = Cycle(self.policy, Preprocess(bundle.input), CommandLimits(0.8, 0.8, 100.0, absurd=8.0))
        self.loop = DrivingLoop(cycle, CommandOutput(lambda command: None, settings), settings,
                             time.time_ns, lambda values: None)
        self.hot_swap = HotSwap(BundleChanges(bundle), self.loop, self.policy,
                               RuntimeOpener(bundle, self.make, allow_unverified=True))

    def make(self, name, bundle, precision, device, quiet, options):
        """Open a real backend, prepared by the test."""
        backend = Counted(bundle, device='cpu')
        backend.over = self.over
        self.prepare(backend)
        self.opened.append(backend)
        return backend

    def drive(self):
        """Drive, by pictures at 100 Hz, until the end."""
        self.threads = [Thread(target=work) for work in (
            lambda: self.loop.run(self.stopping), self.film)]
        for thread in self.threads:
            thread.start()
        self.until(lambda: self.loop.last)

    def film(self):
        """Send pictures."""
        random = np.random.default_rng(0)
        while not self.stopping.wait(0.01):
            self.loop.mailbox.put(Frame(
                random.integers(0, 256, 48 * 64 * 3, np.uint8).tobytes(), 'rgb8', 48, 64, 192,
                time.time_ns(), time.perf_counter_ns()))

    def until(self, condition):
        """Wait for it."""
        deadline = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self):
        """End the threads."""
        self.stopping.set()
        self.over.set()
        for thread in self.threads:
            thread.join(10.0)
            assert not thread.is_alive()

    @property
    def open_for_nobody(self):
        """Tell what is open, but not in the chain that drives."""
        used = [link.backend for link in self.policy.chain.links]
        return [backend for backend in (self.old, *self.opened)
                if not backend.closed and not any(backend is other for other in used)]


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('swap') / 'tiny')


@pytest.fixture(name='scene')
def _scene(bundle, monkeypatch):
    for module in (driver_module, swap_module):
        monkeypatch.setattr(module, 'REQUEST_TIMEOUT_S', 0.3)
    monkeypatch.setattr(swap_module, 'FIRST_CYCLE_S', 0.5)
    scene = Scene(bundle)
    yield scene
    scene.end()


def faults_from(fault, at):
    """Return what prepares a backend that fails from one of its steps on; three are warm-ups."""
    def prepare(backend):
        sound, steps = backend.infer, []

        def infer(image, state):
            steps.append(1)
            backend.fault = fault if len(steps) > at else ''
            return sound(image, state)
        backend.infer = infer
    return prepare


def refused(scene, *arguments):
    """Ask for a swap, and give why it was refused."""
    with pytest.raises(VlaNavError) as error:
        scene.hot_swap.swap(*arguments)
    assert not scene.hot_swap.busy
    return str(error.value)


def test_what_takes_over_is_open_and_what_drove_is_closed_once(scene):
    scene.drive()
    assert 'onnxruntime' in scene.hot_swap.swap(NEW)
    assert scene.policy.backend is scene.opened[0]
    assert (scene.old.closed, scene.opened[0].closed, scene.open_for_nobody) == (1, 0, [])


def test_where_nobody_drives_all_is_closed_that_was_opened(scene):
    for asked in ((NEW,), (NEW, SPARES, True), (None, SPARES, True)):
        assert 'the driving thread does not answer' in refused(scene, *asked)
    assert [backend.closed for backend in scene.opened] == [1] * 4
    assert (scene.policy.backend, scene.old.closed, scene.open_for_nobody) == (scene.old, 0, [])


@pytest.mark.parametrize(('asked', 'fault', 'at', 'reason'), [
    ((NEW,), 'raise', 2, 'run out of memory'),  # while it warms up
    ((None, SPARES, True), 'raise', 2, 'run out of memory'),
    ((NEW,), 'raise', 3, 'run out of memory'),  # while it is checked
    ((NEW,), 'nan', 3, 'differs by nan m/s'),
    ((None, SPARES, True), 'nan', 3, 'differs by nan m/s'),
    ((NEW,), 'raise', 4, 'the first cycle of'),
    ((NEW,), 'absurd', 4, 'the first cycle of'),
])
def test_whatever_fails_the_old_one_drives_on_and_the_new_ones_are_closed(
        scene, monkeypatch, asked, fault, at, reason):
    step = Step(np.zeros(scene.bundle.input.shape, np.uint8), scene.bundle.zero_state(),
                scene.old.infer(np.zeros(scene.bundle.input.shape, np.uint8),
                                scene.bundle.zero_state())[0][0])
    scene.prepare = faults_from(fault, at)
    scene.drive()
    monkeypatch.setattr(scene.loop.cycle, 'recent', [step])  # one step to be checked by
    monkeypatch.setattr(scene.loop.cycle, 'remember', lambda: None)
    assert reason in refused(scene, *asked)
    last = scene.loop.last
    scene.until(lambda: scene.loop.last is not last and not scene.loop.last.command.is_stop)
    assert [backend.closed for backend in scene.opened] == [1]
    assert (scene.policy.backend, scene.old.closed, scene.open_for_nobody) == (scene.old, 0, [])


def test_fall_backs_that_are_ready_are_closed_when_what_is_to_lead_is_not_to_be_had(scene):
    def prepare(backend):
        if scene.opened:
            faults_from('raise', 0)(backend)
    scene.prepare = prepare
    scene.drive()
    assert 'run out of memory' in refused(scene, NEW, SPARES, True)
    assert [backend.closed for backend in scene.opened] == [1, 1]
    assert (scene.policy.backend, scene.open_for_nobody) == (scene.old, [])


def test_a_first_cycle_that_hangs_is_refused_and_undone_when_it_comes_back(scene):
    scene.drive()
    scene.until(lambda: len(scene.loop.cycle.recent) == 8)
    scene.prepare = faults_from('hang', 3 + 8)
    assert 'infer has not come back for' in refused(scene, NEW)
    assert (scene.old.closed, scene.opened[0].closed) == (0, 0)  # a thread is in it
    scene.over.set()
    scene.until(lambda: scene.opened[0].closed)
    assert (scene.policy.backend, scene.old.closed, scene.open_for_nobody) == (scene.old, 0, [])
    last = scene.loop.last
    scene.until(lambda: scene.loop.last is not last)


@pytest.mark.parametrize('refuse', [False, True])
def test_an_error_at_closing_changes_neither_the_answer_nor_what_drives(
        scene, monkeypatch, refuse, caplog):
    scene.drive()
    if refuse:
        def objection(*_):
            raise BackendError('not this one')
        monkeypatch.setattr(scene.hot_swap, '_check', objection)
        scene.prepare = lambda backend: setattr(backend, 'fault', 'close')
        assert refused(scene, NEW) == 'not this one'
    else:
        scene.old.fault = 'close'
        scene.hot_swap.swap(NEW)
    assert scene.policy.backend is (scene.old if refuse else scene.opened[0])
    assert scene.open_for_nobody == []
    assert 'could not be closed: RuntimeError: the driver has gone' in caplog.text
