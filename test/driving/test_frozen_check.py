"""Whether pictures are new."""

from array import array

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from vla_nav_node.driving.frozen_check import FrozenCheck, MAX_BUFFERS, same_bytes


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, lambda data: array('B', data)])
def test_pictures_are_compared_whole(kind):
    data = bytes(range(256)) * 1000
    assert same_bytes(kind(data), kind(data))
    assert same_bytes(kind(b''), kind(b''))
    assert not same_bytes(kind(data), kind(data[:-1]))
    for place in (0, 4095, 4096, 70_000, len(data) - 1):
        other = bytearray(data)
        other[place] ^= 1
        assert not same_bytes(kind(data), kind(bytes(other)))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, MAX_BUFFERS), st.integers(0, 20_000), st.integers(0, 2 ** 32 - 1))
def test_pictures_in_turn_are_old_from_their_second_repetition_on(count, size, seed):
    """Even if the first bytes are all the same, as with an overexposed sky."""
    rng = np.random.default_rng(seed)
    sky = bytes(5000)
    pictures = [sky + rng.integers(0, 256, size + 8, np.uint8).tobytes() for _ in range(count)]
    check = FrozenCheck()
    ages = [check.frozen_ns(pictures[number % count], number) for number in range(5 * count)]
    assert not any(ages[:count])
    assert all(ages[2 * count + 1:])  # all were seen twice: no round is new any more
    if count == 1:
        assert ages == list(range(5))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 70_000), st.integers(1, 255))
def test_one_changed_byte_makes_a_picture_new(place, bits):
    data = bytearray(np.random.default_rng(0).integers(0, 256, 70_001, np.uint8).tobytes())
    check = FrozenCheck()
    for now_ns in range(1, 8):
        check.frozen_ns(bytes(data), now_ns)
    data[place] ^= bits
    assert check.frozen_ns(bytes(data), 9) == 0
