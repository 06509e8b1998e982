"""Impossible normalisations are refused; unlikely ones are noted."""

import math

from hypothesis import given, strategies as st
import pytest
from vla_nav_node.convert.structure.recipe import InputRecipe
from vla_nav_node.errors import SettingError
from vla_nav_node.vision.preprocess import InputSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_255, STD_255 = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def recipe(channels, pixel_max, mean, std):
    """Return a recipe with this normalisation."""
    return InputRecipe('p', InputSpec(4, 4), channels, float(pixel_max), list(mean), list(std),
                       [1.0, 1.0])


@pytest.mark.parametrize('channels, pixel_max, mean, std', [
    ('rgb', 1, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    ('bgr', 1, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395])])
def test_it_is_in_the_bundles_units(channels, pixel_max, mean, std):
    found = recipe(channels, pixel_max, MEAN, STD).normalisation()
    assert found == (pytest.approx(mean), pytest.approx(std))
    assert recipe('rgb', 255, MEAN_255, STD_255).normalisation() == (list(MEAN_255), list(STD_255))
    assert recipe('gray', 1, [0.4], [0.2]).normalisation() == ([102.0] * 3, [51.0] * 3)


@pytest.mark.parametrize('channels, pixel_max, mean, std', [
    ('rgb', 1, MEAN, STD), ('rgb', 255, MEAN_255, STD_255), ('bgr', 1, MEAN, STD),
    ('rgb', 1, [0.5] * 3, [0.5] * 3), ('rgb', 255, [127.5] * 3, [127.5] * 3),
    ('rgb', 255, [128.0] * 3, [128.0] * 3), ('rgb', 1, [0.0] * 3, [1.0] * 3),
    ('rgb', 255, [0.0] * 3, [1.0] * 3), ('rgb', 255, [0.0] * 3, [255.0] * 3),
    ('rgb', 255, [0.0] * 3, [256.0] * 3), ('rgb', 1, [0.0] * 3, [0.0039] * 3),
    ('bgr', 255, [103.939, 116.779, 123.68], [1.0] * 3), ('gray', 1, [0.1307], [0.3081]),
    ('gray-mean', 255, [0.0], [255.0]), ('rgb', 1, [1.0] * 3, [1.0] * 3),
    ('rgb', 1, [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])])
def test_what_people_train_with_passes(channels, pixel_max, mean, std):
    assert all(map(math.isfinite, sum(recipe(channels, pixel_max, mean, std).normalisation(), [])))


@pytest.mark.parametrize('channels, pixel_max, mean, std, expected', [
    ('rgb', 1, MEAN_255, STD_255, 'no pixel is from 103.53 to 123.675'),
    ('rgb', 1, [123.7, 116.3, 103.5], STD, '--pixel-max 255 if they are of pixels from 0 to 255'),
    ('rgb', 1, [0.485, 0.456, 103.5], STD, 'no pixel is from'),
    ('rgb', 1, MEAN, STD_255, 'apart for the network'),
    ('rgb', 1, [0.0] * 3, [255.0] * 3, 'apart for the network'),
    ('rgb', 255, MEAN, STD, 'black but for one grey level'),
    ('rgb', 255, [0.5] * 3, [0.5] * 3, '--pixel-max 1 if they are of pixels from 0 to 1'),
    ('rgb', 255, MEAN, STD_255, 'black but for one grey level'),
    ('rgb', 255, MEAN_255, STD, 'apart for the network'),
    ('rgb', 255, [0.0] * 3, [0.229, 57.12, 57.375], 'apart for the network'),
    ('rgb', 1, [-1.0] * 3, [1.0] * 3, 'no pixel is from -1 to -1'),
    ('rgb', 255, [256.0] * 3, [1.0] * 3, 'no pixel is from'),
    ('rgb', 1, MEAN, [0.0, 0.2, 0.2], '--std above 0'),
    ('rgb', 1, MEAN, [-0.2] * 3, '--std above 0'),
    ('rgb', 1, MEAN, [math.nan] * 3, 'not finite numbers'),
    ('rgb', 1, [math.inf] * 3, STD, 'not finite numbers'),
    ('rgb', 1, MEAN, [1e-9] * 3, 'apart for the network'),
    ('rgb', 1, [0.5], [0.5], '3 each'), ('gray', 1, [0.5], [0.5] * 3, '1 each'),
    ('gray', 1, MEAN, STD, '1 each: one for each channel')])
def test_what_nobody_can_have_trained_with_is_refused(channels, pixel_max, mean, std, expected):
    with pytest.raises(SettingError) as refusal:
        recipe(channels, pixel_max, mean, std)
    assert expected in str(refusal.value) and '\n' not in str(refusal.value)


@pytest.mark.parametrize('channels, mean, std, expected', [
    ('rgb', MEAN[::-1], STD[::-1], "ImageNet's in the order B G R, beside --channels rgb"),
    ('bgr', MEAN, STD, "ImageNet's in the order R G B, beside --channels bgr"),
    ('rgb', STD, MEAN, 'right only if they are not swapped')])
def test_what_is_unlikely_is_noted(channels, mean, std, expected):
    assert expected in ' '.join(recipe(channels, 1, mean, std).notes())


@pytest.mark.parametrize('channels, mean, std', [
    ('rgb', MEAN, STD), ('bgr', MEAN[::-1], STD[::-1]), ('rgb', [0.5] * 3, [0.5] * 3),
    ('rgb', [0.0] * 3, [1.0] * 3)])
def test_what_is_likely_is_only_told(channels, mean, std):
    note, = recipe(channels, 1, mean, std).notes()
    assert 'the network sees black as' in note


def test_black_and_white_are_told():
    note, *_ = recipe('rgb', 255, MEAN_255, STD_255).notes()
    assert 'black as -2.12 -2.04 -1.8 and white as 2.25 2.43 2.64 (rgb)' in note


NUMBERS = st.lists(st.floats(width=32) | st.sampled_from([0.0, 0.5, 1.0, 127.5, 255.0]),
                   min_size=1, max_size=3)


@given(st.sampled_from(['rgb', 'bgr', 'gray', 'gray-mean']), st.sampled_from([1, 255]), NUMBERS,
       NUMBERS)
def test_any_numbers_pass_or_are_refused(channels, pixel_max, mean, std):
    try:
        found = recipe(channels, pixel_max, mean, std)
    except SettingError:
        return
    means, stds = found.normalisation()
    assert len(means) == len(stds) == 3 and all(0 <= one <= 255 for one in means)
    assert all(0.9 < one <= 510 for one in stds) and list(found.notes())
