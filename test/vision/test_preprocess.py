"""The recipe from a picture of any size to the network's input."""

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from vla_nav_node.errors import SettingError
from vla_nav_node.vision.preprocess import centre_crop, InputSpec, Preprocess


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(['crop', 'stretch']),
       st.sampled_from(['supersample', 'linear']))
@settings(max_examples=100, deadline=None)
def test_any_size_comes_out_in_the_networks_shape(height, width, fit, resize):
    """Even a picture of one pixel; a flat colour stays that colour."""
    spec = InputSpec(24, 32, fit, resize)
    picture = np.full((height, width, 3), (10, 120, 250), np.uint8)
    result = Preprocess(spec)(picture)
    assert result.shape == (1, 24, 32, 3) and result.dtype == np.uint8
    assert np.abs(result[0].astype(int) - (10, 120, 250)).max() <= 1


def test_the_crop_is_the_middle_and_copies_nothing():
    """A 16:9 picture loses its sides, a tall one its top and bottom."""
    wide = np.zeros((720, 1280, 3), np.uint8)
    view = centre_crop(wide, 4 / 3)
    assert view.shape == (720, 960, 3) and np.shares_memory(view, wide)
    assert centre_crop(np.zeros((600, 400, 3), np.uint8), 4 / 3).shape == (300, 400, 3)


def test_supersampling_is_nearly_the_mean_over_each_area():
    """Against OpenCV's INTER_AREA, on a smooth picture with an edge."""
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 321:] = 255
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    wanted = cv2.resize(picture, (128, 96), interpolation=cv2.INTER_AREA)
    found = Preprocess(InputSpec(96, 128))(picture)[0]
    assert np.abs(found.astype(int) - wanted).max() < 12


def test_the_buffer_is_allocated_once():
    """The result is the same memory every time; a caller who keeps it must copy."""
    preprocess = Preprocess(InputSpec(24, 32))
    first = preprocess(np.zeros((48, 64, 3), np.uint8))
    assert preprocess(np.full((48, 64, 3), 9, np.uint8)) is first
    assert first[0, 0, 0, 0] == 9


def test_padded_and_sliced_pictures_are_read_right():
    """A view with a row stride, as decoding returns it."""
    rng = np.random.default_rng(0)
    padded = rng.integers(0, 256, (48, 70, 3), np.uint8)
    spec = InputSpec(24, 32, 'stretch', 'linear')
    view = Preprocess(spec)(padded[:, :64]).copy()
    assert np.array_equal(view, Preprocess(spec)(np.ascontiguousarray(padded[:, :64])))


@pytest.mark.parametrize('rotation', [0, 90, 180, 270])
@pytest.mark.parametrize('fit', ['crop', 'stretch'])
def test_a_picture_is_turned_clockwise_before_all_else(rotation, fit):
    """The result is that of an upright picture, for any layout of the rows."""
    padded = np.random.default_rng(1).integers(0, 256, (48, 80, 3), np.uint8)
    picture = padded[:, :64]
    picture.flags.writeable = False
    upright = np.ascontiguousarray(np.rot90(picture, -rotation // 90))
    turned = Preprocess(InputSpec(24, 40, fit, rotation=rotation))
    for _ in range(2):
        assert np.array_equal(turned(picture), Preprocess(InputSpec(24, 40, fit))(upright))


def test_turning_allocates_no_memory_for_pictures_of_one_size():
    preprocess = Preprocess(InputSpec(24, 32, rotation=90))
    preprocess(np.zeros((48, 64, 3), np.uint8))
    before = preprocess._turned
    preprocess(np.full((48, 64, 3), 7, np.uint8))
    assert preprocess._turned is before and before[0, 0, 0] == 7
    assert preprocess(np.full((30, 20, 3), 9, np.uint8))[0, 0, 0, 0] == 9


@pytest.mark.parametrize('rotation', [1, -90, 360, 45.0])
def test_a_picture_turns_by_right_angles_only(rotation):
    with pytest.raises(SettingError, match='rotation .*expected one of .*90'):
        InputSpec(24, 32, rotation=rotation)


def test_the_recipe_needs_a_known_resize():
    """A wrong name does not pass silently."""
    with pytest.raises(SettingError, match='cubic.*supersample'):
        InputSpec(24, 32, 'crop', 'cubic')
