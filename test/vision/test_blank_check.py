"""Pictures that show nothing, and those that show little."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from vla_nav_node.vision.blank_check import is_blank

COLOURS = {'black': (0, 0, 0), 'grey': (128, 128, 128), 'white': (251, 251, 251),
           'green of zeroed YUV': (0, 135, 0), 'any': (20, 90, 200)}
SIZES = ((96, 128), (224, 224), (48, 64), (24, 32), (480, 640))


def covered(colour, most, shape=(96, 128), seed=0):
    """Return one colour with noise of 0 to `most` grey levels."""
    noise = np.random.default_rng(seed).integers(0, most + 1, (*shape, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize('shape', SIZES)
@pytest.mark.parametrize('most', [0, 1, 2, 3])
@pytest.mark.parametrize('colour', COLOURS.values(), ids=COLOURS)
def test_one_colour_with_noise_shows_nothing(colour, most, shape):
    assert all(is_blank(covered(colour, most, shape, seed)) for seed in range(10))


def test_small_marks_on_nothing_show_nothing():
    picture = covered((0, 0, 0), 2)
    picture[[5, 40, 80], [7, 60, 100]] = 255  # hot pixels
    picture[84:94, 4:44] = 255  # a clock in the corner
    assert is_blank(picture)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(8, 55), st.booleans())
def test_an_edge_is_something(dark, contrast, upright):
    picture = np.full((96, 128, 3), dark, np.uint8)
    (picture[:, 50:] if upright else picture[40:])[...] = dark + contrast
    assert not is_blank(picture)


def test_the_simulator_shows_something_in_daylight_and_at_a_tenth_of_it():
    pytest.importorskip('mujoco', reason='MuJoCo is not installed')
    from vla_nav_node.bundle.bundle import load_bundle
    from vla_nav_node.sim.expert.simulated_frames import load_frames
    frames = load_frames('sim', load_bundle().input, 400, seed=5)
    assert not any(map(is_blank, frames))
    assert not any(map(is_blank, (frames / 10).astype(np.uint8)))
