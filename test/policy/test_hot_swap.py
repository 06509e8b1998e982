"""Swaps that fail in every way: which backend drives then, and that no unused one stays open."""

from itertools import count
from threading import Event, Thread
import time

from faulty import Faulty, frame, of_chain
import numpy as np
import pytest
import tiny
from vla_nav_node.backends import BACKENDS
from vla_nav_node.bundle.changed_on_disk import BundleChanges
from vla_nav_node.driving import loop as loop_module
from vla_nav_node.driving.command_limits import ActionCheck
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle, Step
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.errors import BackendError, VlaNavError
from vla_nav_node.policy import hot_swap as swap_module
from vla_nav_node.policy.hot_swap import HotSwap
from vla_nav_node.policy.runtime_opener import RuntimeOpener
from vla_nav_node.policy.runtimes import Link, Runtime
from vla_nav_node.vision.preprocess import Preprocess

NEW = Runtime('onnx', device='cpu')
FALLBACKS = (NEW,)


class Counted(Faulty):
    """Fails on demand, at closing too, and counts how often it is closed."""

    closed = 0

    def close(self):
        """Count, and raise if that is the fault."""
        self.closed += 1
        if self.fault == 'close':
            raise RuntimeError('the GPU driver has gone')


class Scene:
    """A node's hot swap, policy and driving loop, without ROS, on backends with faults."""

    def __init__(self, bundle):
        """Assemble them; nothing drives yet."""
        self.bundle, self.opened, self.prepare = bundle, [], lambda backend: None
        self.over, self.stopping, self.threads = Event(), Event(), []
        self.old = Counted(bundle, device='cpu')
        self.policy = of_chain(bundle, [Link(Runtime('onnx'), self.old)])
        settings = settings_of(parameters(bundle.limits, tuple(BACKENDS)), {'image_timeout': 0.2})
        cycle = Cycle(self.policy, Preprocess(bundle.input), ActionCheck(8.0))
        self.loop = DrivingLoop(cycle, CommandOutput(lambda command: None, settings), settings,
                                time.time_ns, lambda values: None)
        self.hot_swap = HotSwap(BundleChanges(bundle), self.loop, self.policy,
                                RuntimeOpener(bundle, self.make, allow_unverified=True))

    def make(self, name, bundle, precision, device, quiet, options):
        """Return a real backend, prepared by the test."""
        backend = Counted(bundle, device='cpu')
        backend.over = self.over
        self.prepare(backend)
        self.opened.append(backend)
        return backend

    def drive(self):
        """Start driving on pictures at 100 Hz."""
        self.threads = [Thread(target=work) for work in (
            lambda: self.loop.run(self.stopping), self.send_pictures)]
        for thread in self.threads:
            thread.start()
        self.until(lambda: self.loop.last)

    def send_pictures(self):
        """Send pictures."""
        for seed in count():
            if self.stopping.wait(0.01):
                return
            self.loop.mailbox.put(frame(seed))

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
    def open_but_unused(self):
        """Return the backends that are open but not in the chain."""
        used = [link.backend for link in self.policy.chain.links]
        return [backend for backend in (self.old, *self.opened)
                if not backend.closed and not any(backend is other for other in used)]


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('swap') / 'tiny')


@pytest.fixture(name='scene')
def _scene(bundle, monkeypatch):
    for module in (loop_module, swap_module):
        monkeypatch.setattr(module, 'REQUEST_TIMEOUT_S', 0.3)
    monkeypatch.setattr(swap_module, 'FIRST_CYCLE_S', 0.5)
    scene = Scene(bundle)
    yield scene
    scene.end()


def faults_from(fault, at):
    """Return a function that makes a backend fail after `at` steps; three are warm-ups."""
    def prepare(backend):
        sound, steps = backend.infer, []

        def infer(image, state):
            steps.append(1)
            backend.fault = fault if len(steps) > at else ''
            return sound(image, state)
        backend.infer = infer
    return prepare


def refused(scene, *arguments):
    """Request a swap that fails; return the error."""
    with pytest.raises(VlaNavError) as error:
        scene.hot_swap.swap(*arguments)
    assert not scene.hot_swap.busy
    return str(error.value)


def test_the_new_backend_is_open_and_the_old_one_is_closed_once(scene):
    scene.drive()
    assert 'onnxruntime' in scene.hot_swap.swap(NEW)
    assert scene.policy.backend is scene.opened[0]
    assert (scene.old.closed, scene.opened[0].closed, scene.open_but_unused) == (1, 0, [])


def test_without_a_driving_thread_all_opened_backends_are_closed(scene):
    for asked in ((NEW,), (NEW, FALLBACKS, True), (None, FALLBACKS, True)):
        assert 'the driving thread does not answer' in refused(scene, *asked)
    assert [backend.closed for backend in scene.opened] == [1] * 4
    assert (scene.policy.backend, scene.old.closed, scene.open_but_unused) == (scene.old, 0, [])


@pytest.mark.parametrize(('asked', 'fault', 'at', 'reason'), [
    ((NEW,), 'raise', 2, 'run out of memory'),  # while it warms up
    ((None, FALLBACKS, True), 'raise', 2, 'run out of memory'),
    ((NEW,), 'raise', 3, 'run out of memory'),  # while it is checked
    ((NEW,), 'nan', 3, 'differs by nan m/s'),
    ((None, FALLBACKS, True), 'nan', 3, 'differs by nan m/s'),
    ((NEW,), 'raise', 4, 'the first cycle of'),
    ((NEW,), 'absurd', 4, 'the first cycle of'),
])
def test_on_any_failure_the_old_backend_drives_on_and_new_ones_are_closed(
        scene, monkeypatch, asked, fault, at, reason):
    step = Step(np.zeros(scene.bundle.input.shape, np.uint8), scene.bundle.zero_state(),
                scene.old.infer(np.zeros(scene.bundle.input.shape, np.uint8),
                                scene.bundle.zero_state())[0][0])
    scene.prepare = faults_from(fault, at)
    scene.drive()
    monkeypatch.setattr(scene.loop.cycle, 'recent_steps', [step])  # one step to be checked by
    monkeypatch.setattr(scene.loop.cycle, 'keep_step', lambda: None)
    assert reason in refused(scene, *asked)
    last = scene.loop.last
    scene.until(lambda: scene.loop.last is not last and not scene.loop.last.command.is_stop)
    assert [backend.closed for backend in scene.opened] == [1]
    assert (scene.policy.backend, scene.old.closed, scene.open_but_unused) == (scene.old, 0, [])


def test_opened_fallbacks_are_closed_when_the_first_backend_fails(scene):
    def prepare(backend):
        if scene.opened:
            faults_from('raise', 0)(backend)
    scene.prepare = prepare
    scene.drive()
    assert 'run out of memory' in refused(scene, NEW, FALLBACKS, True)
    assert [backend.closed for backend in scene.opened] == [1, 1]
    assert (scene.policy.backend, scene.open_but_unused) == (scene.old, [])


def test_a_first_cycle_that_hangs_is_refused_and_undone_when_it_returns(scene):
    scene.drive()
    scene.until(lambda: len(scene.loop.cycle.recent_steps) == 8)
    scene.prepare = faults_from('hang', 3 + 8)
    assert 'infer has not come back for' in refused(scene, NEW)
    assert (scene.old.closed, scene.opened[0].closed) == (0, 0)  # a thread is in it
    scene.over.set()
    scene.until(lambda: scene.opened[0].closed)
    assert (scene.policy.backend, scene.old.closed, scene.open_but_unused) == (scene.old, 0, [])
    last = scene.loop.last
    scene.until(lambda: scene.loop.last is not last)


@pytest.mark.parametrize('refuse', [False, True])
def test_an_error_at_closing_changes_neither_the_answer_nor_the_driving_backend(
        scene, monkeypatch, refuse, caplog):
    scene.drive()
    if refuse:
        def disagreement(*_):
            raise BackendError('not this one')
        monkeypatch.setattr(scene.hot_swap, '_check_agreement', disagreement)
        scene.prepare = lambda backend: setattr(backend, 'fault', 'close')
        assert refused(scene, NEW) == 'not this one'
    else:
        scene.old.fault = 'close'
        scene.hot_swap.swap(NEW)
    assert scene.policy.backend is (scene.old if refuse else scene.opened[0])
    assert scene.open_but_unused == []
    assert 'could not be closed: RuntimeError: the GPU driver has gone' in caplog.text
