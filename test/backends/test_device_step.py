"""The state on a device: the real step runs on a device simulated in host memory."""

import gc
from threading import Thread

from host_memory import bind_onnx, HostMemory
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.device_step import DeviceState, DeviceStep, SLOTS
from vla_nav_node.driving.cycle import RECENT
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.recurrent_policy import Policy


def open_step(bundle):
    """Return a real step, and its memory."""
    memory = HostMemory()
    return DeviceStep(memory, bundle.input.shape, bundle.state_shapes,
                      bind_onnx(bundle.file('policy.fp32.onnx'))), memory


def same(states, others):
    """Return whether two states hold the same numbers."""
    return len(states) == len(others) and all(map(np.array_equal, states, others))


def test_it_does_what_the_backend_with_host_arrays_does(bundle, reference):
    step, memory = open_step(bundle)
    state, expected = bundle.zero_state(), bundle.zero_state()
    uploads = memory.uploads
    for image in tiny.images(30):
        action, state = step.infer(image, state)
        wanted, expected = reference.infer(image, expected)
        assert np.array_equal(action, wanted)
    # 30 images and the first state went up; 30 actions came down, and not one state.
    assert (memory.uploads - uploads, memory.downloads) == (31, 31)  # one action of the recording
    assert same(state, expected)
    assert memory.downloads == 32


def test_a_state_is_recognised_when_it_is_handed_back(bundle):
    step, other = open_step(bundle)[0], open_step(bundle)[0]
    _, state = step.infer(tiny.images(1)[0], bundle.zero_state())
    assert step.owns(state) and not other.owns(state) and not step.owns(tuple(state))
    assert isinstance(state, DeviceState) and len(state) == len(bundle.state_shapes)
    assert [part.shape for part in state] == list(bundle.state_shapes.values())
    assert np.array_equal(state[0], next(iter(state))) and same(state[0:1], tuple(state)[0:1])


def test_a_driving_node_never_fetches_a_state(bundle):
    """The node keeps the states of the last steps for the check of another backend."""
    step, memory = open_step(bundle)
    assert SLOTS > RECENT + 2
    policy, recent = Policy(step, bundle.zero_state()), []
    for image in tiny.images(60):
        before = policy.state
        policy.act(image)
        recent = [*recent, before][-RECENT:]
    assert memory.downloads == 61


def test_states_that_live_on_keep_their_numbers_though_there_are_more_than_slots(
        bundle, reference):
    step, memory = open_step(bundle)
    kept, expected = [bundle.zero_state()], [bundle.zero_state()]
    for image in tiny.images(3 * SLOTS):
        kept.append(step.infer(image, kept[-1])[1])
        expected.append(reference.infer(image, expected[-1])[1])
    assert memory.downloads == 3 * SLOTS + 1 + 2 * SLOTS  # only those that had to make room
    assert all(map(same, kept, expected))


def test_states_outlive_the_step_that_made_them(bundle, reference):
    step, memory = open_step(bundle)
    image, = tiny.images(1)
    _, state = step.infer(image, bundle.zero_state())
    step.close()
    step.close()
    assert memory.closed
    assert same(state, reference.infer(image, bundle.zero_state())[1])
    with pytest.raises(BackendError, match='closed'):
        step.infer(image, state)
    assert np.array_equal(reference.infer(image, state)[0],
                          reference.infer(image, tuple(state))[0])


def test_what_nobody_closed_is_released_once_no_state_is_left(bundle, reference):
    step, memory = open_step(bundle)
    image, = tiny.images(1)
    _, state = step.infer(image, bundle.zero_state())
    del step
    gc.collect()
    assert not memory.closed
    assert same(state, reference.infer(image, bundle.zero_state())[1])
    del state
    gc.collect()
    assert memory.closed


def test_a_device_that_is_lost_keeps_nobody_from_closing(bundle, monkeypatch, caplog):
    """A swap away from it has worked, and must not fail with its last error."""
    step, memory = open_step(bundle)

    def lost():
        raise BackendError('the device is lost')
    _, state = step.infer(tiny.images(1)[0], bundle.zero_state())
    monkeypatch.setattr(memory, 'enter', lost)
    step.close()
    assert memory.closed and 'the device is lost' in caplog.text
    with pytest.raises(BackendError, match='reset the policy'):
        state[0]


def test_its_arrays_are_read_only_and_others_can_be_handed_in(bundle, reference):
    step, _ = open_step(bundle)
    first, second = tiny.images(2)
    _, state = step.infer(first, bundle.zero_state())
    with pytest.raises(ValueError, match='read-only'):
        state[0][:] = 0
    altered = tuple(part * 0.5 for part in state)
    assert np.array_equal(step.infer(second, altered)[0], reference.infer(second, altered)[0])
    action, _ = step.infer(second, altered)
    action += 1  # the caller's own
    assert np.array_equal(step.infer(second, altered)[0], reference.infer(second, altered)[0])


class Failing:
    """A real graph that fails while `fails` is set."""

    def __init__(self, bind):
        """Wrap the `bind` of the real graph."""
        self.bind, self.fails = bind, False

    def __call__(self, addresses):
        """Bind it to addresses; return what queues one run."""
        run = self.bind(addresses)

        def queue():
            run()
            if self.fails:
                raise BackendError('the graph failed')
        return queue


def test_after_a_failure_the_state_before_it_is_still_good(bundle, reference):
    graph = Failing(bind_onnx(bundle.file('policy.fp32.onnx')))
    step = DeviceStep(HostMemory(), bundle.input.shape, bundle.state_shapes, graph)
    first, second = tiny.images(2)
    _, state = step.infer(first, bundle.zero_state())
    graph.fails = True
    with pytest.raises(BackendError, match='failed'):
        step.infer(second, state)
    graph.fails = False
    expected = reference.infer(first, bundle.zero_state())[1]
    assert np.array_equal(step.infer(second, state)[0], reference.infer(second, expected)[0])


def test_another_thread_may_fetch_while_this_one_drives(bundle, reference):
    step, _ = open_step(bundle)
    pictures, states, wrong = tiny.images(200), [bundle.zero_state()], []
    expected = [bundle.zero_state()]
    for image in pictures:
        expected.append(reference.infer(image, expected[-1])[1])

    def look():
        for _ in range(300):
            index = len(states) - 1
            if not same(states[index], expected[index]):
                wrong.append(index)

    threads = [Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for image in pictures:
        states.append(step.infer(image, states[-1])[1])
    for thread in threads:
        thread.join()
    assert wrong == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(['go on', 'go back', 'host', 'zero', 'forget', 'look']),
                          st.integers(0, 40)), max_size=60))
def test_whatever_is_handed_in_and_kept_it_is_the_right_state(lstm_step, moves):
    """Against the same steps in plain arrays: any order, any number of states alive."""
    step, reference, zero, pictures = lstm_step
    kept = [(zero, zero)]
    for number, (move, which) in enumerate(moves):
        at = {'go on': -1, 'zero': 0}.get(move, which % len(kept))
        state, expected = kept[at]
        if move == 'forget':
            del kept[1:at]
        elif move == 'look':
            assert same(state, expected)
        else:
            given_in = tuple(part.copy() for part in expected) if move == 'host' else state
            image = pictures[(number + which) % len(pictures)]
            action, after = step.infer(image, given_in)
            wanted, wanted_after = reference.infer(image, expected)
            assert np.array_equal(action, wanted)
            kept.append((after, wanted_after))
    assert all(same(state, expected) for state, expected in kept)


@pytest.fixture(name='lstm_step', scope='module')
def _lstm_step(tmp_path_factory):
    bundle = tiny.write_tiny(tmp_path_factory.mktemp('moves') / 'tiny')
    return (open_step(bundle)[0], open_backend('onnx', bundle, device='cpu'),
            bundle.zero_state(), tiny.images(10))
