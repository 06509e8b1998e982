"""Any bytes as an image neither crash the driver nor make it drive (see also `make fuzz`)."""

from pathlib import Path
import subprocess
import sys
import time

from fuzz_target import FORMATS, frame_of, RAW, READERS, seeds, Target
from hypothesis import example, given, settings, strategies as st
import numpy as np
import pytest
from tiny import write_tiny
from vla_nav_node.errors import ImageError
from vla_nav_node.types import Frame
from vla_nav_node.vision import image_encodings

INT32, UINT32 = 2 ** 31, 2 ** 32


@pytest.fixture(name='target', scope='module')
def _target(tmp_path_factory):
    return Target(write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny'))


SIZES = st.integers(0, 40) | st.integers(0, UINT32 - 1) | st.sampled_from(
    (image_encodings.MAX_SIDE, image_encodings.MAX_SIDE + 1, INT32 - 1, INT32, UINT32 - 1))
STAMPS = st.integers(-INT32 * 10 ** 9, INT32 * 10 ** 9 + UINT32)
ENCODINGS = st.sampled_from(sorted(image_encodings.LAYOUTS)) | st.text(max_size=40)
DATA = st.binary(max_size=4096)
FRAMES = st.builds(
    Frame, data=DATA, encoding=ENCODINGS, height=SIZES, width=SIZES, step=SIZES, stamp_ns=STAMPS,
    received_ns=st.just(0), is_bigendian=st.booleans(), compressed=st.booleans())


def now(frame, fresh):
    """Return the frame as received now; if `fresh`, its stamp lets it reach the decoder."""
    stamp_ns = time.time_ns() if fresh else frame.stamp_ns
    return Frame(memoryview(frame.data), frame.encoding, frame.height, frame.width, frame.step,
                 stamp_ns, time.perf_counter_ns(), frame.is_bigendian,
                 frame.compressed)


@given(FRAMES, st.booleans())
@settings(max_examples=400, deadline=None)
@example(Frame(bytes(24), 'rgb8', 1, 8, UINT32 - 1, 0, 0), True)
@example(Frame(bytes(24), 'nv24', 1, 8, UINT32 - 1, 0, 0), True)
def test_any_fields_stop_or_drive_within_limits(target, frame, fresh):
    target.drive(now(frame, fresh))


def valid(encoding, height, width, padding, pixels):
    """Return a frame whose bytes fit its header, if the encoding allows its size."""
    layout = image_encodings.LAYOUTS[encoding]
    step = width * layout.pixel_bytes + padding
    size = int(height * layout.rows) * step
    data = (pixels * (size // len(pixels) + 1))[:size]
    return Frame(data, encoding, height, width, step, 0, 0)


@given(st.builds(valid, st.sampled_from(sorted(image_encodings.LAYOUTS)), st.integers(1, 40),
                 st.integers(1, 400), st.integers(0, 9), st.binary(min_size=1, max_size=300)),
       st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_pictures_that_are_nearly_whole(target, frame, cut):
    """A cut picture moves nothing; a whole one drives or is refused."""
    whole = now(frame, True)
    target.drive(whole)
    drove = target.drove
    layout = image_encodings.LAYOUTS[frame.encoding]
    cut = min(cut + 1 + frame.step - frame.width * layout.pixel_bytes,
              len(frame.data))
    target.drive(Frame(whole.data[:-cut], *list(vars(whole).values())[1:]))
    assert target.drove == drove


@given(st.sampled_from(list(seeds())), st.lists(
    st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=4), st.integers(0, 200))
@settings(max_examples=400, deadline=None)
def test_valid_messages_with_a_few_wrong_bytes(target, data, changes, cut):
    """The fuzzer's first inputs: fields, jpeg, png and serialised messages."""
    changed = bytearray(data[:len(data) - cut])
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    target.feed(bytes(changed))


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_any_bytes(target, data):
    target.feed(data)


def test_the_seeds_are_valid(target):
    """The fuzzer starts with each encoding, in each kind of message."""
    drove = set()
    for data in seeds():
        before = target.drove
        frame = frame_of(data)
        target.drive(frame)
        if target.drove > before:
            drove.add(frame.encoding)
    assert drove == {*image_encodings.LAYOUTS, *FORMATS[:11]}


def test_a_picture_of_the_longest_side_is_no_trouble(target):
    """Extreme shapes pass all stages; chance rarely produces them."""
    before = target.drove
    target.let_blank_pass()  # what is left of them in the middle is one pixel, or a few
    most = image_encodings.MAX_SIDE
    for height, width in ((1, most), (most, 1), (2, most)):
        rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        target.drive(now(Frame(rgb.tobytes(), 'rgb8', height, width, 3 * width, 0, 0), True))
    assert target.drove == before + 3


def test_the_fuzzer_itself(tmp_path):
    """It counts a few inputs without a finding, where atheris is installed."""
    pytest.importorskip('atheris', reason='atheris is not installed (make fuzz installs it)')
    fuzz = [sys.executable, str(Path(__file__).parents[1] / 'fuzz_images.py'), '--runs', '3000',
            '--workers', '1', '--out', str(tmp_path)]
    done = subprocess.run(fuzz, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '3000 inputs' in done.stdout and 'findings: none' in done.stdout


def test_what_cannot_be_read_is_an_error_not_an_exception_of_ours():
    """The readers of serialised messages refuse with ImageError, and nothing else."""
    for number in range(len(READERS)):
        for data in (b'', b'\0', b'\0\1\0\0', bytes(64), b'\xff' * 64):
            assert isinstance(frame_of(bytes([RAW + number, 0]) + data), (Frame, ImageError))
