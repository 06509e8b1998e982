"""Calibration frames and their neighbours, known by hashes, never judge the int8 graph."""

import copy
import json

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tiny
from vla_nav_node import cli
from vla_nav_node.bundle.bundle import Bundle, load_bundle
from vla_nav_node.bundle.plain_yaml import MOST_BYTES
from vla_nav_node.convert.frames.calibrated import (
    Calibrated, calibration_facts, FEWEST, FIRST_SEED, HASH_BYTES, MOST_FRAMES, NEIGHBOURS)
from vla_nav_node.errors import SettingError
from vla_nav_node.sim.expert.simulated_frames import load_frames
from vla_nav_node.vision.preprocess import InputSpec, Preprocess


@pytest.fixture(scope='module', name='plain')
def _plain(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('plain') / 'tiny')


SEE = Preprocess(InputSpec(tiny.HEIGHT, tiny.WIDTH))
SCENES = tiny.scenes(400)
SEEN = np.stack([SEE(scene)[0].copy() for scene in SCENES])  # as the policy sees them


def calibrated(bundle, **facts):
    """Return the bundle in memory as quantize would leave it on disk."""
    manifest = copy.deepcopy(bundle.manifest)
    manifest['files']['policy.int8.onnx'] = {'sha256': '0' * 64, 'bytes': 0}
    manifest['quantization'] = {'int8': facts}
    return Bundle(bundle.directory, manifest)


def of_scenes(bundle, part):
    """Return a Calibrated for some of the scenes."""
    facts = calibration_facts('recording', SEEN[part])
    return Calibrated([(calibrated(bundle, **facts), 'int8')])


def places(frames):
    """Return the indices of frames among the scenes."""
    return [int(np.flatnonzero((frame == SEEN).all(axis=(1, 2, 3)))[0]) for frame in frames]


def test_frames_that_calibrated_are_passed_over_with_their_neighbours(plain, tmp_path):
    np.save(tmp_path / 'f.npy', SCENES)
    source = str(tmp_path / 'f.npy')
    for part, wanted in ((slice(100), range(100 + NEIGHBOURS, 400)),
                         (slice(300, 400), range(300 - NEIGHBOURS)),
                         (slice(100, 200), [*range(100 - NEIGHBOURS),
                                            *range(200 + NEIGHBOURS, 400)])):
        frames = load_frames(source, plain.input, 1000, 0, of_scenes(plain, part))
        assert places(frames) == list(wanted)
    assert len(load_frames(source, plain.input, 1000)) == 400
    few = load_frames(source, plain.input, 7, 0, of_scenes(plain, slice(100)))
    assert places(few) == list(range(115, 122))


@given(st.sets(st.integers(0, 119)))
@settings(max_examples=60, deadline=None)
def test_what_is_left_is_all_that_is_far_enough(plain, known):
    judged = of_scenes(plain, sorted(known))
    far = [place for place in range(120)
           if all(abs(place - one) > NEIGHBOURS for one in known)]
    try:
        left = list(judged.others(range(120), 'x', lambda place: SCENES[place]))
    except SettingError:
        assert known and len(far) < FEWEST
    else:
        assert left == far


def test_too_few_others_are_told_with_what_to_do(plain, tmp_path):
    np.save(tmp_path / 'f.npy', SCENES)
    with pytest.raises(SettingError, match=(
            r'has 400 frames: 370 of them calibrated the int8, and 15 are neither .*'
            r'at least 30 others; fix: record more, or .*lower --count')):
        load_frames(str(tmp_path / 'f.npy'), plain.input, 1000, 0,
                    of_scenes(plain, slice(370)))


def test_only_an_int8_was_calibrated_and_only_one_that_is_there(plain):
    lost = {'frames': {'source': 'bag', 'count': 3}}
    for precision in ('fp32', 'fp16'):
        Calibrated([(calibrated(plain, **lost), precision)])
    Calibrated([(plain, 'int8')])
    for facts in (lost, {**lost, 'calibrated': 'no base 64!'}, {**lost, 'calibrated': 3}):
        with pytest.raises(SettingError, match="which frames calibrated .*quantize' again"):
            Calibrated([(calibrated(plain, **facts), 'int8')])
    gone = calibrated(plain, **lost)
    del gone.manifest['files']['policy.int8.onnx']
    Calibrated([(gone, 'int8')])


@pytest.mark.parametrize('frames', [{'source': 'sim', 'count': 600},
                                    {'source': 'sim', 'count': 600, 'seed': 1}])
def test_the_simulators_episodes_are_known_by_their_seeds(plain, frames):
    judged = Calibrated([(calibrated(plain, frames=frames), 'int8')])
    judged.refuse_seed(0)
    judged.refuse_episodes(range(7000, 7200))
    with pytest.raises(SettingError, match='seed 1 calibrated the int8'):
        load_frames('sim', plain.input, 10, 1, judged)
    for seeds in (range(FIRST_SEED + 1500, FIRST_SEED + 1600), range(7000, FIRST_SEED + 1001)):
        with pytest.raises(SettingError, match='none from 3001000 to 3001999'):
            judged.refuse_episodes(seeds)


def test_the_hashes_of_as_many_as_there_may_be_fit_into_a_manifest_twice():
    text = calibration_facts('x', np.zeros((3, 2, 2, 3), np.uint8))['calibrated']
    assert len(text) == 3 * HASH_BYTES * 4 / 3
    assert 2 * MOST_FRAMES * HASH_BYTES * 4 / 3 < 0.7 * MOST_BYTES


def test_one_recording_calibrates_and_judges_by_parts_of_its_own(tmp_path, capsys):
    """Run quantize, verify and compare on one recording."""
    pytest.importorskip('rich')
    tiny.write_tiny(tmp_path / 'p')
    recording = tmp_path / 'f.npy'
    np.save(recording, SCENES[:200])
    quantize = ['quantize', str(tmp_path / 'p'), '--any-speed', '--frames', str(recording)]
    verify = ['verify', str(tmp_path / 'p'), '--frames', str(recording), '--backends', 'onnx',
              '--json', str(tmp_path / 'v.json')]
    _widen(tmp_path / 'p')
    assert cli.main([*quantize, '--count', '100']) == 0
    assert 'note: ' not in capsys.readouterr().out
    assert cli.main(verify) in (0, 1)
    assert json.loads((tmp_path / 'v.json').read_text())['frames']['frames'] == 85
    assert cli.main(['compare', f'{tmp_path / "p"}:fp32', f'{tmp_path / "p"}:int8', '--frames',
                     str(recording), '--out', str(tmp_path / 'out'), '--runs', '20',
                     '--device', 'cpu']) in (0, 1)
    assert len(np.load(tmp_path / 'out' / 'compare.npz')['a']) == 85

    assert cli.main(quantize) == 0
    assert 'note: these are all frames' in capsys.readouterr().out
    assert cli.main(verify) == 2
    assert 'has 200 frames: 200 of them calibrated the int8' in capsys.readouterr().err
    assert cli.main([*verify, '--precisions', 'fp32']) == 0
    assert load_bundle(tmp_path / 'p').precisions == ('fp32', 'int8')


def _widen(directory):
    """Replace the bundle by one whose layers are worth int8."""
    import shutil

    from worth_int8 import bundle
    shutil.rmtree(directory)
    tiny.verified(bundle(directory))


def test_labelled_frames_that_calibrated_are_left_out_and_the_state_begins_anew(plain, tmp_path):
    pytest.importorskip('rich')
    from vla_nav_node.bench.models.frame_sets import load_frame_set
    starts = np.zeros(400, bool)
    starts[[0, 150, 300]] = True  # 150 is left out: what comes after it begins an episode
    np.savez(tmp_path / 'l.npz', frames=SCENES, actions=np.arange(800).reshape(400, 2) / 1e3,
             starts=starts)
    source = str(tmp_path / 'l.npz')
    found = load_frame_set(source, plain.input, 1000, 0, of_scenes(plain, slice(100, 200)))
    assert places(found.frames) == [*range(85), *range(215, 400)]
    assert np.flatnonzero(found.starts).tolist() == [0, 85, 170]
    assert found.actions[85].tolist() == pytest.approx([0.43, 0.431])
    whole = load_frame_set(source, plain.input, 10)
    assert len(whole.frames) == 10 and whole.starts == [True] + [False] * 9
