"""A policy that goes on by another backend: real backends that fail when they are told to."""

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
from vla_nav_node.policy.fallback import Abandoned, Link
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.policy.runtime_spec import Runtime

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
    """Return what a policy that never fails does."""
    policy = Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())
    return [policy.act(picture) for picture in pictures]


def same(policy, pictures, actions):
    """Tell whether it does just that."""
    return all(np.array_equal(policy.act(picture), action)
               for picture, action in zip(pictures, actions))


@pytest.mark.parametrize(('fault', 'told'), [
    ('raise', 'the runtime has run out of memory'),
    ('crash', 'ZeroDivisionError: nobody foresaw this (faulty.py:'),
    ('nan', NOT_FINITE),
    ('absurd', 'the policy gave (1e+09, 1e+09) m/s, more than 10 times what it was trained for')])
def test_the_same_picture_is_driven_on_with_the_state_kept(
        bundle, backends, policy, fault, told):
    pictures, falls = tiny.images(12), []
    policy.on_fall = lambda: falls.append(policy.chain.driving)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:5], actions[:5])
    assert (policy.warning(), policy.told()) == (
        '', 'onnx:fp32@auto ready, torch:fp32@auto ready')
    backends[0].fault = fault
    assert same(policy, pictures[5:], actions[5:])
    assert (falls, policy.backend, policy.fell) == ([1], backends[1], True)
    assert policy.warning().startswith(
        f'driving on fall-back onnx:fp32@auto because of tensorrt:fp32@auto: {told}')
    assert policy.warning().endswith('; set backend to open it again')
    assert policy.told() == 'onnx:fp32@auto drives, torch:fp32@auto ready'


def test_nobody_goes_back_by_themselves(bundle, backends, policy):
    backends[0].fault = 'raise'
    policy.act(tiny.images(1)[0])
    backends[0].fault = ''
    policy.act(tiny.images(1)[0])
    policy.reset()
    policy.act(tiny.images(1)[0])
    assert policy.backend is backends[1]


def test_what_fails_as_well_is_left_out_and_told(bundle, backends, policy):
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    backends[0].fault, backends[1].fault = 'nan', 'raise'
    assert same(policy, pictures, actions)
    assert policy.backend is backends[2]
    assert f'tensorrt:fp32@auto: {NOT_FINITE}; onnx:fp32@auto: the runtime' in policy.warning()
    assert not policy.spares


def test_when_none_can_go_on_it_is_as_without_fall_backs_and_all_are_tried_again(
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


def test_an_output_that_all_give_is_not_the_backends_fault(bundle, backends, policy):
    for backend in backends:
        backend.fault = 'nan'
    assert np.isnan(policy.act(tiny.images(1)[0])).all()  # the gate makes a stop of it
    assert (policy.backend, policy.warning()) == (backends[0], '')


def test_a_state_that_is_not_finite_begins_anew(bundle, backends, policy):
    pictures = tiny.images(3)
    policy.state = tuple(np.full_like(part, np.inf) for part in bundle.zero_state())
    backends[0].fault = 'raise'
    assert same(policy, pictures, expected(bundle, pictures))
    assert 'its state was not finite, and began anew' in policy.warning()


def test_without_fall_backs_it_is_a_policy(bundle, backends):
    backends[0].fault = ''
    policy = of_chain(bundle, [Link(Runtime('onnx'), backends[0])])
    pictures = tiny.images(3)
    assert same(policy, pictures, expected(bundle, pictures))
    backends[0].fault = 'raise'
    with pytest.raises(BackendError, match='^the runtime has run out of memory$'):
        policy.act(pictures[0])
    assert not policy.rescue('it hangs', 0.0)
    assert (policy.warning(), policy.told()) == ('', '')


FAULTS = st.sampled_from(['', '', 'raise', 'nan', 'absurd', 'crash'])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FAULTS, FAULTS, FAULTS), min_size=1, max_size=8))
def test_whatever_fails_when(bundle, backends, steps):
    """While any backend at or after the one that drives is sound, nothing is to be seen of it."""
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
    """A thread that drives by a policy until it hangs, and what became of it."""

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
    # It comes back, ends, and has changed nothing; nor does anybody close what may still hang.
    backends[0].over.set()
    hang.thread.join(10.0)
    assert isinstance(hang.ended, Abandoned)
    assert same(policy, pictures[5:], actions[5:])
    assert policy.chain.links[0].backend is None


def test_a_fall_back_that_hangs_is_left_to_the_next(bundle, backends, policy):
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


def test_nobody_is_rescued_who_does_not_hang(bundle, backends, policy):
    assert not policy.rescue('it hangs', 0.0)
    policy.act(tiny.images(1)[0])
    assert not policy.rescue('it hangs', 0.0)
    assert policy.backend is backends[0]


class Device(HostMemory):
    """A device that can be lost, or hang."""

    lost, over = False, None

    def wait(self):
        """Wait as a driver does: for ever, or until it says that the device is gone."""
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


def test_the_state_comes_from_the_device_while_it_can(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(6)
    actions = expected(bundle, pictures)
    assert same(policy, pictures[:3], actions[:3])
    assert isinstance(policy.state, DeviceState)
    first.infer = open_backend('onnx', bundle).close  # which takes no picture
    assert same(policy, pictures[3:], actions[3:])
    assert isinstance(policy.before, tuple)
    assert 'began anew' not in policy.warning()


def test_a_state_that_is_lost_with_its_device_begins_anew_and_that_is_told(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(6)
    policy.act(pictures[0])
    first.memory.lost = True
    assert same(policy, pictures[1:], expected(bundle, pictures[1:]))
    assert policy.warning().startswith(
        'driving on fall-back onnx:fp32@cpu because of tensorrt:fp32@cuda: the GPU has fallen off '
        'the bus (its state is lost, and began anew: the GPU has fallen off the bus); set backend')


def test_a_state_on_a_device_that_hangs_is_not_waited_for(bundle, on_device):
    first, policy = on_device
    pictures = tiny.images(3)
    policy.act(pictures[0])
    first.memory.over = Event()
    hang = Hang(policy, pictures[1])
    began = time.monotonic()
    assert policy.rescue('it hangs', 0.01)
    assert time.monotonic() - began < 5.0
    assert 'its state is lost, and began anew: the device that it is on hangs' in policy.warning()
    assert same(policy, pictures[1:], expected(bundle, pictures[1:]))
    first.memory.over.set()
    hang.thread.join(10.0)
    assert isinstance(hang.ended, Abandoned)
