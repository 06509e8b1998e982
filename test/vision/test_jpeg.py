"""Complete jpegs of every kind decode; incomplete ones are refused."""

import io
import re
import sys

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from vla_nav_node.errors import ImageError
from vla_nav_node.types import Frame
from vla_nav_node.vision import image_encodings, jpeg

HEIGHT, WIDTH = 240, 320
ROW = WIDTH // 16  # blocks of 4:2:0 in a row
EOI = b'\xff\xd9'
TOLERANCE = 20  # grey levels, of a pixel that is not as it was


def scene(height=HEIGHT, width=WIDTH, seed=0):
    """Draw smooth colours under a camera's noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(smooth, rng.integers(0, 8, smooth.shape, np.uint8))


def encode(*options, picture=None):
    """Encode with OpenCV."""
    drawn = scene() if picture is None else picture
    return cv2.imencode('.jpg', drawn, list(options))[1].tobytes()


def restarts(interval=ROW):
    """Encode with a restart marker after each `interval` of blocks."""
    return encode(cv2.IMWRITE_JPEG_RST_INTERVAL, interval)


def decode(data, text='jpeg'):
    """Decode as the node does."""
    return image_encodings.decode(Frame(data, text, 0, 0, 0, 0, 0, compressed=True))


def by_opencv(data):
    """Decode as OpenCV does, which ignores libjpeg's warnings."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1]


def by_pillow(mode='RGB', **options):
    """Encode with options that OpenCV does not have."""
    pillow = pytest.importorskip('PIL.Image')
    written = io.BytesIO()
    pillow.fromarray(scene()).convert(mode).save(written, 'JPEG', **options)
    return written.getvalue()


def before(data, marker, extra, which=0):
    """Put bytes before a marker."""
    places = [found.start() for found in re.finditer(re.escape(marker), data)]
    return data[:places[which]] + extra + data[places[which]:]


def before_all(data, extra):
    """Put bytes before each restart marker."""
    return re.sub(rb'\xff[\xd0-\xd7]', lambda found: extra + found[0], data)


def without_tables(data):
    """Omit the Huffman tables, as MJPEG does."""
    out, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2:at + 4], 'big')
        out.append(b'' if data[at + 1] == 0xC4 else data[at:end])
        at = end
    return b''.join(out) + data[at:]


def with_thumbnail(data):
    """Put a whole small jpeg into an EXIF segment."""
    small = encode(picture=scene(16, 16))
    return data[:2] + b'\xff\xe1' + (len(small) + 2).to_bytes(2, 'big') + small + data[2:]


def spots():
    """Draw a dark corner in each block: all its coefficients are of one sign."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    picture[::8, ::8] -= np.arange(HEIGHT // 8, dtype=np.uint8)[:, None, None] + 3
    return picture


AVI1 = b'\xff\xe0\0\x21AVI1\0\1\1\1\0\x78\0\x78' + bytes(19)
WHOLE = {
    'baseline': encode, 'progressive': lambda: encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'optimised': lambda: encode(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    'restart markers': restarts, 'restart markers at each block': lambda: restarts(1),
    'grey': lambda: encode(picture=scene()[..., 0]),
    '4:4:4': lambda: by_pillow(subsampling='4:4:4'),
    '4:2:2': lambda: by_pillow(subsampling='4:2:2'),
    '4:1:1': lambda: encode(cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411),
    '4:4:0': lambda: encode(cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
    'CMYK': lambda: by_pillow('CMYK'), 'grey of Pillow': lambda: by_pillow('L'),
    'black': lambda: encode(picture=scene() * 0),
    'black, optimised': lambda: encode(cv2.IMWRITE_JPEG_OPTIMIZE, 1, picture=scene() * 0),
    'grey and white, optimised': lambda: encode(cv2.IMWRITE_JPEG_OPTIMIZE, 1,
                                                picture=scene()[..., 0] * 0 + 255),
    'spots': lambda: encode(cv2.IMWRITE_JPEG_QUALITY, 100, picture=spots()),
    'noise': lambda: encode(cv2.IMWRITE_JPEG_QUALITY, 100, picture=np.random.default_rng(
        0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)),
    'odd size': lambda: encode(picture=scene(83, 117)),
    'one pixel': lambda: encode(picture=scene(1, 1)),
    'no Huffman tables': lambda: without_tables(encode()),
    'AVI1': lambda: encode()[:2] + AVI1 + without_tables(encode())[20:],
    'thumbnail': lambda: with_thumbnail(encode()),
    'comment': lambda: encode()[:2] + b'\xff\xfe\0\6\xff\xd8\xff\xd9' + encode()[2:],
    'zeros behind': lambda: encode() + bytes(4096),
    'rubbish behind': lambda: encode() + b'\x12\xff\xd7\xff' * 50,
    'the next frame behind': lambda: encode() + encode(picture=scene(seed=1)),
    'fill bytes': lambda: before(encode(), EOI, b'\xff' * 7),
    'fill bytes before each restart marker': lambda: before_all(
        restarts(), b'\xff\xff'),
}


@pytest.mark.parametrize('kind', WHOLE)
def test_a_whole_jpeg_decodes_as_opencv_decodes_it(kind):
    data = WHOLE[kind]()
    found, wanted = decode(data), by_opencv(data)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize('extra', [b'\0', bytes(10), b'\x7f', b'\x12\x34\x56',
                                   b'\xff\0\x11\xff\0'])
@pytest.mark.parametrize('marker, which', [(EOI, -1), (b'\xff\xd0', 0), (b'\xff\xd3', 0),
                                           (b'\xff\xd6', -1), (b'\xff\xdb', 0), (b'\xff\xc0', 0),
                                           (b'\xff\xda', 0)])
def test_stray_bytes_of_a_webcam_before_a_marker_are_harmless(extra, marker, which):
    """Logitech's C270, C910 and C920 put 1 to 10 of them there; the picture is whole."""
    data = restarts()
    if marker in (b'\xff\xdb', b'\xff\xc0', b'\xff\xda'):
        extra = extra.replace(b'\xff', b'')
    assert np.array_equal(decode(before(data, marker, extra, which)), decode(data))


def test_stray_bytes_before_every_restart_marker_are_harmless():
    for data in (restarts(), restarts(7), encode(cv2.IMWRITE_JPEG_RST_INTERVAL, 3,
                                                 cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                                                 cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
                 encode(cv2.IMWRITE_JPEG_RST_INTERVAL, 11, picture=scene(83, 117)[..., 0])):
        strays = before_all(data, b'\x21\x43')
        assert len(strays) > len(data) + 4
        assert np.array_equal(decode(strays), decode(data))


@pytest.mark.parametrize('extra', [30, 100, 3000])
def test_more_stray_bytes_than_a_webcam_sends_are_damage(extra):
    rubbish = np.random.default_rng(1).integers(1, 255, extra, np.uint8).tobytes()
    for marker in (EOI, b'\xff\xd3'):
        with pytest.raises(ImageError, match='extraneous'):
            decode(before(restarts(), marker, rubbish, -1))


def halves():
    """Return a jpeg damaged by a cable, a full buffer or a lost packet."""
    data, other = encode(), encode(picture=scene(seed=1))
    middle = len(data) // 2
    intervals = re.split(rb'(?=\xff[\xd0-\xd7\xd9])', restarts())
    strays = before(restarts(), b'\xff\xd1', b'\0\0\0')
    progressive = re.split(rb'(?=\xff\xda)', encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    at = strays.rindex(b'\xff\xd5') + 40
    return {
        'cut': data[:middle], 'cut, end put on': data[:middle] + EOI,
        'cut, zeros behind': data[:middle] + bytes(len(data) - middle),
        'cut, zeros and end': data[:middle] + bytes(len(data) - middle) + EOI,
        'cut, the same frame behind': data[:middle] + data,
        'cut, the next frame behind': data[:middle] + other,
        'cut, the rest of the next frame': data[:middle] + other[middle + 700:],
        'the last bytes gone': data[:-12] + EOI, 'no end': data[:-2],
        'a piece missing': data[:middle] + data[middle + 2000:],
        'a piece zeroed': data[:middle] + bytes(2000) + data[middle + 2000:],
        'a piece set': data[:middle] + b'\xff' * 2000 + data[middle + 2000:],
        'a piece twice': data[:middle] + data[middle - 2000:],
        'cut with a whole thumbnail': with_thumbnail(data)[:-2000],
        'half the height': data.replace(
            bytes([8, 0, HEIGHT]), bytes([8, 0, HEIGHT // 2])),
        'an interval missing': b''.join(intervals[:4] + intervals[5:]),
        'eight intervals missing': b''.join(intervals[:3] + intervals[11:]),
        'intervals exchanged': b''.join(
            [*intervals[:3], intervals[4], intervals[3], *intervals[5:]]),
        'an interval empty': b''.join([*intervals[:3], b'\xff\xd2', *intervals[4:]]),
        'a restart marker missing': restarts().replace(b'\xff\xd3', b'\x11\x22', 1),
        'stray bytes and a piece zeroed behind them': strays[:at] + bytes(60) + strays[at + 60:],
        'stray bytes and an interval missing': b''.join(
            [*re.split(rb'(?=\xff[\xd0-\xd7\xd9])', strays)[:9], EOI]),
        **{f'progressive, {number} scans left': b''.join(progressive[:number + 1]) + EOI
           for number in range(1, len(progressive) - 1)},
    }


@pytest.mark.parametrize('kind', halves())
def test_a_jpeg_that_is_not_whole_is_refused(kind):
    with pytest.raises(ImageError, match='do not decode: .*expected a whole jpeg or png'):
        decode(halves()[kind])


GOOD = {name: (data, decode(data).astype(int)) for name, data in (
    ('baseline', encode()), ('restarts', restarts()),
    ('progressive', encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)))}
KINDS = st.sampled_from(sorted(GOOD))
PLACES = st.floats(0, 1, exclude_max=True)


def place_of(data, share, size=0):
    """Return a position in the coded data at which `size` bytes still fit."""
    first = data.index(b'\xff\xda') + 14
    return first + int(share * (len(data) - 2 - first - size))


@settings(deadline=None, max_examples=150)
@given(KINDS, PLACES, st.sampled_from(['', 'end', 'itself', 'zeros', 'other']))
def test_a_jpeg_that_is_cut_anywhere_is_refused(kind, share, behind):
    """Whatever follows, half a picture stays incomplete."""
    data, _ = GOOD[kind]
    at = min(place_of(data, share), len(data) - 16)
    more = {'': b'', 'end': EOI, 'itself': data, 'zeros': bytes(len(data) - at) + EOI,
            'other': encode(picture=scene(seed=1))}[behind]
    with pytest.raises(ImageError):
        decode(data[:at] + more)


def damaged(data, how, share, size, seed):
    """Damage `size` bytes somewhere in the coded data."""
    at = place_of(data, share, size)
    new = {'missing': b'', 'zeroed': bytes(size),
           'overwritten': np.random.default_rng(seed).bytes(size)}[how]
    return data[:at] + new + data[at + size:]


def wrong_pixels(data, kind):
    """Return the share of changed pixels; 0 for a picture that is refused."""
    try:
        found = decode(data)
    except ImageError:
        return 0.0
    good = GOOD[kind][1]
    return float((np.abs(found - good).max(2) > TOLERANCE).mean()) \
        if found.shape == good.shape else 1.0


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.sampled_from(['baseline', 'restarts']), st.sampled_from(['missing', 'zeroed']), PLACES,
       st.integers(600, 6000))
def test_a_jpeg_without_a_piece_as_long_as_a_packet_is_refused_or_as_it_was(
        kind, how, share, size):
    assert wrong_pixels(damaged(GOOD[kind][0], how, share, size, 0), kind) < 0.001


def test_what_a_jpeg_cannot_show_is_rare_where_as_much_as_a_packet_is_damaged():
    """It has no checksum: damage that keeps the number of blocks cannot be detected."""
    rng = np.random.default_rng(0)
    unseen = {}
    for size in (4, 64, 512):
        wrong = [wrong_pixels(damaged(GOOD[kind][0], how, rng.random(), size, number), kind) > .001
                 for kind in ('baseline', 'restarts')
                 for how in ('missing', 'zeroed', 'overwritten') for number in range(40)]
        unseen[size] = np.mean(wrong)
    print('share of damaged jpegs that are driven on, by bytes:', unseen)
    assert unseen[512] < 0.03 and unseen[64] < 0.4


@settings(deadline=None, max_examples=200)
@given(KINDS, st.integers(0, 700), st.binary(min_size=1, max_size=40))
def test_damage_to_the_header_raises_nothing_but_a_refusal(kind, at, new):
    data = GOOD[kind][0]
    try:
        found = decode(data[:at] + new + data[at + len(new):])
    except ImageError:
        return
    assert found.dtype == np.uint8 and found.shape[2] == 3


def test_more_scans_than_an_encoder_writes_are_refused_before_they_are_decoded():
    """Each takes as long as the whole picture, and has a few bytes."""
    data = encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scan = data[data.rindex(b'\xff\xda'):-2]
    with pytest.raises(ImageError, match='more than 100 scans'):
        decode(data[:-2] + scan * 100 + EOI)


def test_a_missing_library_is_told_with_the_line_that_installs_it(monkeypatch):
    """Raw pictures and pngs need no simplejpeg."""
    monkeypatch.setitem(sys.modules, 'simplejpeg', None)
    with pytest.raises(ImageError, match="simplejpeg.*pip install 'simplejpeg"):
        jpeg.require()
    with pytest.raises(ImageError, match='pip install'):
        decode(encode())
    png = cv2.imencode('.png', scene())[1].tobytes()
    assert np.array_equal(decode(png, 'png'), scene()[..., ::-1])
