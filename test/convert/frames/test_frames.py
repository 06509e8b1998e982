"""Frames are read from every kind of source as the policy sees them, or it is refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from vla_nav_node.convert.frames.calibrated import FIRST_SEED
from vla_nav_node.errors import ImageError, SettingError
from vla_nav_node.sim.expert.simulated_frames import load_frames
from vla_nav_node.sim.training.plan import Plan, SEEDS_PER_RUN
from vla_nav_node.vision.preprocess import InputSpec, Preprocess

SPEC = InputSpec(24, 32)
GREY = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3) % 251


def _picture(number):
    """Return a picture whose brightness depends on its number."""
    return (GREY // 4 + 8 * number).astype(np.uint8)


def _seen(number):
    return Preprocess(SPEC)(_picture(number))[0]


def _write(path, number):
    assert cv2.imwrite(str(path), cv2.cvtColor(_picture(number), cv2.COLOR_RGB2BGR))


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 2, 1):
        _write(tmp_path / f'frame_{number}.png', number)
    (tmp_path / 'notes.txt').write_text('not a picture')
    frames = load_frames(str(tmp_path), SPEC, 100)
    assert frames.dtype == np.uint8
    assert (frames == np.stack([_seen(1), _seen(2), _seen(10)])).all()
    assert (load_frames(str(tmp_path), SPEC, 2) == frames[:2]).all()


@pytest.mark.parametrize('rotation', [90, 180])
def test_frames_are_turned_as_the_node_turns_them_whatever_exif_says(tmp_path, rotation):
    pillow = pytest.importorskip('PIL.Image')
    exif = pillow.Exif()
    exif[0x0112] = 3
    for number in (1, 2):
        pillow.fromarray(_picture(number)).save(tmp_path / f'{number}.png', exif=exif)
    frames = load_frames(str(tmp_path), replace(SPEC, rotation=rotation), 2)
    upright = [np.ascontiguousarray(np.rot90(_picture(number), -rotation // 90))
               for number in (1, 2)]
    assert (frames == np.stack([Preprocess(SPEC)(one)[0].copy() for one in upright])).all()


def test_the_simulators_camera_is_upright_whatever_the_recipe_says():
    pytest.importorskip('vla_nav_node.sim.world.world', reason='MuJoCo is not installed')
    turned = load_frames('sim', replace(SPEC, rotation=180), 2)
    assert (turned == load_frames('sim', SPEC, 2)).all()


def test_an_array_is_read(tmp_path):
    np.save(tmp_path / 'f.npy', np.stack([_picture(0), _picture(1)]))
    frames = load_frames(str(tmp_path / 'f.npy'), SPEC, 5)
    assert (frames == np.stack([_seen(0), _seen(1)])).all()


@pytest.mark.parametrize('array, words', [
    (np.zeros((2, 24, 32, 3), np.float32), 'float32'),
    (np.zeros((24, 32, 3), np.uint8), r'\[24, 32, 3\]'),
    (np.zeros((2, 24, 32, 3), np.uint8), 'one even colour'),
    (np.stack([_picture(1)] * 3), 'are the same'),
    (np.zeros((0, 24, 32, 3), np.uint8), 'no picture'),
    (np.array([{}]), 'cannot be read')])
def test_an_array_that_proves_nothing_is_refused(tmp_path, array, words):
    np.save(tmp_path / 'f.npy', array)
    with pytest.raises(SettingError, match=words):
        load_frames(str(tmp_path / 'f.npy'), SPEC, 5)


def test_what_is_no_source_is_refused(tmp_path):
    (tmp_path / 'film.mp4').write_bytes(b'x')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'cut').mkdir()
    _write(tmp_path / 'cut' / 'a.png', 1)
    whole = (tmp_path / 'cut' / 'a.png').read_bytes()
    (tmp_path / 'cut' / 'b.png').write_bytes(whole[:len(whole) // 2])
    for source, words in (('nowhere', 'no pictures at'), ('film.mp4', 'film.mp4'),
                          ('empty', 'no picture'), ('cut', 'b.png')):
        with pytest.raises((SettingError, ImageError), match=words):
            load_frames(str(tmp_path / source), SPEC, 5)
    with pytest.raises(SettingError, match='at least 1'):
        load_frames('sim', SPEC, 0)


def test_the_simulator_shows_what_the_expert_sees():
    pytest.importorskip('vla_nav_node.sim.world.world', reason='MuJoCo is not installed')
    frames = load_frames('sim', SPEC, 8)
    assert frames.shape == (8, 24, 32, 3)
    assert (frames == load_frames('sim', SPEC, 8)).all()
    assert (frames[0] != load_frames('sim', SPEC, 1, seed=1)[0]).any()
    assert (frames[0] != frames[-1]).any()
    for seed in range(5):
        first = Plan(seed=seed).first_seed
        assert not first <= FIRST_SEED < first + SEEDS_PER_RUN
