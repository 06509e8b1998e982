"""A policy that falls back on another backend: real backends with injected faults."""

from threading import Event, Thread
import time

from faulty import Faulty, of_chain, start
from host_memory import bind_onnx, HostMemory
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.device_step import DeviceState, DeviceStep
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.fallback import Abandoned
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.policy.runtimes import Link, Runtime

NOT_FINITE = 'the policy gave a number that is not finite'


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('fallback') / 'tiny')


@pytest.fixture(name='backends', scope='module')
def _backends(bundle):
    return [Faulty(bundle, device='cpu') for _ in range(3)]


@pytest.fixture(name='policy')
def _policy(bundle, backends):
    return start(bundle, backends)


def expected(bundle, pictures):
    """Return the actions of a policy that never fails."""
    policy = Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())
    return [policy.act(picture) for picture in pictures]


def same(policy, pictures, actions):
    """Return whether a policy acts exactly so."""
    return all(np.array_equal(policy.act(picture), action)
               for picture, action in zip(pictures, actions))


@pytest.mark.parametrize(('fault', 'problem'), [
    ('raise', 'the runtime has run out of memory'),
    ('crash', 'ZeroDivisionError: an unforeseen error (faulty.py:'),
    ('nan', NOT_FINITE),
    ('absurd', 'the policy gave (1e+09, 1e+09) m/s, more than 10 times what it was trained for')])
def test_the_next_backend_drives_on_the_same_picture_with_the_same_state(
        bundle, backends, policy, fault, problem):
    pictures, falls = tiny.images(12), []
    policy.on_fallback = lambda: falls.append(policy.chain.driving)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:5], actions[:5])
    assert (policy.warning(), policy.list_fallbacks()) == (
        '', 'onnx:fp32@auto ready, torch:fp32@auto ready')
    backends[0].fault = fault
    assert same(policy, pictures[5:], actions[5:])
    assert (falls, policy.backend, policy.has_fallen_back) == ([1], backends[1], True)
    assert policy.warning().startswith(
        f'driving on fallback onnx:fp32@auto because of tensorrt:fp32@auto: {problem}')
    assert policy.warning().endswith('; set backend to reopen it')
    assert policy.list_fallbacks() == 'onnx:fp32@auto drives, torch:fp32@auto ready'


def test_it_does_not_return_to_a_backend_by_itself(bundle, backends, policy):
    backends[0].fault = 'raise'
    policy.act(tiny.images(1)[0])
    backends[0].fault = ''
    policy.act(tiny.images(1)[0])
    policy.reset()
    policy.act(tiny.images(1)[0])
    assert policy.backend is backends[1]


def test_a_fallback_that_fails_too_is_skipped_and_named(bundle, backends, policy):
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    backends[0].fault, backends[1].fault = 'nan', 'raise'
    assert same(policy, pictures, actions)
    assert policy.backend is backends[2]
    assert f'tensorrt:fp32@auto: {NOT_FINITE}; onnx:fp32@auto: the runtime' in policy.warning()
    assert not policy.has_fallback


def test_when_all_fail_the_first_error_is_raised_and_all_are_tried_again(
        bundle, backends, policy):
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:2], actions[:2])
    for backend in backends:
        backend.fault = 'raise'
    with pytest.raises(BackendError, match='^tensorrt:fp32@auto: the runtime .*; onnx:.*; torch:'):
        policy.act(pictures[2])
    assert (policy.backend, policy.warning()) == (backends[0], '')
    backends[0].fault = 'crash'
    with pytest.raises(ZeroDivisionError):
        policy.act(pictures[2])
    backends[0].fault = 'raise'
    backends[2].fault = ''
    assert same(policy, pictures[2:], actions[2:])
    assert policy.backend is backends[2]


def test_an_unsafe_output_of_all_backends_is_no_fallback(bundle, backends, policy):
    for backend in backends:
        backend.fault = 'nan'
    assert np.isnan(policy.act(tiny.images(1)[0])).all()  # the cycle makes a stop of it
    assert (policy.backend, policy.warning()) == (backends[0], '')


def test_a_state_that_is_not_finite_is_reset(bundle, backends, policy):
    pictures = tiny.images(3)
    policy.state = tuple(np.full_like(part, np.inf) for part in bundle.zero_state())
    backends[0].fault = 'raise'
    assert same(policy, pictures, expected(bundle, pictures))
    assert 'its state was not finite, and reset' in policy.warning()


def test_without_fallbacks_it_is_a_plain_policy(bundle, backends):
    backends[0].fault = ''
    policy = of_chain(bundle, [Link(Runtime('onnx'), backends[0])])
    pictures = tiny.images(3)
    assert same(policy, pictures, expected(bundle, pictures))
    backends[0].fault = 'raise'
    with pytest.raises(BackendError, match='^the runtime has run out of memory$'):
        policy.act(pictures[0])
    assert not policy.rescue('it hangs', 0.0)
    assert (policy.warning(), policy.list_fallbacks()) == ('', '')


FAULTS = st.sampled_from(['', '', 'raise', 'nan', 'absurd', 'crash'])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FAULTS, FAULTS, FAULTS), min_size=1, max_size=8))
def test_any_faults_at_any_steps(bundle, backends, steps):
    """While one backend from the driving one on is sound, the actions do not change."""
    policy, sound = start(bundle, backends), start(bundle, backends[:1])
    pictures, driving, left_out = tiny.images(len(steps)), 0, set()
    for picture, faults in zip(pictures, steps):
        for backend in backends:
            backend.fault = ''
        before, reference = policy.state, sound.act(picture)
        for backend, fault in zip(backends, faults):
            backend.fault = fault
        able = [index for index in range(driving, 3)
                if index not in left_out and not faults[index]]
        if able:
            assert np.array_equal(policy.act(picture), reference)
            left_out |= set(range(driving, able[0]))
            driving = able[0]
        else:
            with np.errstate(all='ignore'):
                _fails(policy, picture, faults[driving])
            policy.state, sound.state = before, before
        assert policy.backend is backends[driving]


def _fails(policy, picture, fault):
    if fault in ('nan', 'absurd'):
        assert not (np.abs(policy.act(picture)) < 1.0).any()
    else:
        with pytest.raises((BackendError, ZeroDivisionError)):
            policy.act(picture)


class Hang:
    """A thread that runs a policy until it hangs, and its result."""

    def __init__(self, policy, picture):
        """Start it, and wait until it hangs."""
        self.ended = None
        self._work = (policy, picture)
        self.thread = Thread(target=self._run)
        self.thread.start()
        time.sleep(0.05)

    def _run(self):
        policy, picture = self._work
        try:
            self.ended = policy.act(picture)
        except Abandoned as ended:
            self.ended = ended


def test_another_thread_drives_on_while_one_hangs(bundle, backends, policy):
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:3], actions[:3])
    state, backends[0].over, backends[0].fault = policy.state, Event(), 'hang'
    hang = Hang(policy, pictures[3])
    assert not policy.rescue('it hangs', 10.0)  # not for that long
    assert policy.rescue('infer has not come back for 0.2 s', 0.01)
    assert policy.state is state
    assert same(policy, pictures[3:5], actions[3:5])
    assert 'because of tensorrt:fp32@auto: infer has not come back for 0.2 s' in policy.warning()
    # It returns, ends, and has changed nothing; a backend that may still hang is not closed.
    backends[0].over.set()
    hang.thread.join(10.0)
    assert isinstance(hang.ended, Abandoned)
    assert same(policy, pictures[5:], actions[5:])
    assert policy.chain.links[0].backend is None


def test_a_fallback_that_hangs_is_replaced_by_the_next(bundle, backends, policy):
    pictures = tiny.images(2)
    backends[1].over, backends[0].fault, backends[1].fault = Event(), 'raise', 'hang'
    hang = Hang(policy, pictures[0])
    assert policy.rescue('it hangs', 0.01)
    assert same(policy, pictures, expected(bundle, pictures))
    assert policy.backend is backends[2]
    assert 'onnx:fp32@auto: it hangs' in policy.warning()
    backends[1].over.set()
    hang.thread.join(10.0)
    assert isinstance(hang.ended, Abandoned)


def test_a_backend_that_does_not_hang_is_not_replaced(bundle, backends, policy):
    assert not policy.rescue('it hangs', 0.0)
    policy.act(tiny.images(1)[0])
    assert not policy.rescue('it hangs', 0.0)
    assert policy.backend is backends[0]


class Device(HostMemory):
    """A device that can be lost, or hang."""

    lost, over = False, None

    def wait(self):
        """Wait as a GPU driver does: for ever, or until it reports that the device is lost."""
        if self.over is not None:
            self.over.wait(30.0)
        if self.lost:
            raise BackendError('the GPU has fallen off the bus')


class OnDevice:
    """A backend that keeps its state on a device."""

    def __init__(self, bundle):
        """Open it."""
        self.memory = Device()
        self.step = DeviceStep(self.memory, bundle.input.shape, bundle.state_shapes,
                               bind_onnx(bundle.file('policy.fp32.onnx')))
        self.infer, self.close = self.step.infer, self.step.close


@pytest.fixture(name='on_device')
def _on_device(bundle, backends):
    backends[1].fault = ''
    first = OnDevice(bundle)
    return first, of_chain(bundle, [Link(Runtime('tensorrt', 'fp32', 'cuda'), first),
                                    Link(Runtime('onnx', 'fp32', 'cpu'), backends[1])])


def test_the_state_is_fetched_from_the_device_if_possible(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:3], actions[:3])
    assert isinstance(policy.state, DeviceState)
    first.infer = open_backend('onnx', bundle).close  # which accepts no picture
    assert same(policy, pictures[3:], actions[3:])
    assert isinstance(policy.state_before, tuple)
    assert 'and reset' not in policy.warning()


def test_a_state_lost_with_its_device_is_reset_and_reported(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(6)
    policy.act(pictures[0])
    first.memory.lost = True
    assert same(policy, pictures[1:], expected(bundle, pictures[1:]))
    assert policy.warning().startswith(
        'driving on fallback onnx:fp32@cpu because of tensorrt:fp32@cuda: the GPU has fallen off '
        'the bus (its state was lost, and reset: the GPU has fallen off the bus); set backend')


def test_a_state_on_a_device_that_hangs_is_not_waited_for(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(3)
    policy.act(pictures[0])
    first.memory.over = Event()
    hang = Hang(policy, pictures[1])
    began = time.monotonic()
    assert policy.rescue('it hangs', 0.01)
    assert time.monotonic() - began < 5.0
    assert 'its state was lost, and reset: its device hangs' in policy.warning()
    assert same(policy, pictures[1:], expected(bundle, pictures[1:]))
    first.memory.over.set()
    hang.thread.join(10.0)
    assert isinstance(hang.ended, Abandoned)
