"""The raw and the compressed topic of a camera give the same picture or the same error."""

import io
import struct
import sys
import zlib

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from vla_nav_node.errors import ImageError
from vla_nav_node.types import Frame
from vla_nav_node.vision import image_encodings
from vla_nav_node.vision.compressed import size_and_encoding
from vla_nav_node.vision.compressed_format import Format, read_format

HEIGHT, WIDTH = 24, 32
# sensor_msgs/image_encodings.hpp: what isColor() says. Humble's knows no colours in YUV.
HUMBLE = ('rgb8', 'bgr8', 'rgba8', 'bgra8', 'rgb16', 'bgr16', 'rgba16', 'bgra16')
JAZZY = (*HUMBLE, 'yuv422', 'yuv422_yuy2', 'uyvy', 'yuyv', 'nv21', 'nv24')
GREY = ('mono8', '8UC1', 'mono16')
NO_PICTURES = ('16UC1', '32FC1', '8UC2', '16SC1', 'rgb', 'RGB8', '', 'h264')


def scene():
    """Draw smooth colours."""
    coarse = np.random.default_rng(5).integers(40, 216, (3, 4, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def raw_frame(encoding):
    """Return a raw picture of an encoding with the bytes of one scene, whatever they mean."""
    layout = image_encodings.LAYOUTS[encoding]
    step = WIDTH * layout.pixel_bytes
    rows = int(HEIGHT * layout.rows)
    pixels = cv2.resize(scene()[..., 1], (step, rows), interpolation=cv2.INTER_LINEAR)
    return Frame(pixels.tobytes(), encoding, HEIGHT, WIDTH, step, 0, 0)


def samples(frame):
    """Return a raw picture as cv_bridge does without conversion."""
    wide = 2 if '16' in frame.encoding else 1
    array = np.frombuffer(frame.data, '<u2' if wide == 2 else 'u1')
    return array.reshape(HEIGHT, WIDTH, -1)


def compress(frame, codec, colours):
    """
    Compress as compressed_publisher.cpp does, with the encodings that its release calls coloured.

    None where it publishes nothing.
    """
    if frame.encoding not in colours and (
            image_encodings.LAYOUTS[frame.encoding].pixel_bytes == 2 and '16' not in frame.encoding
            or image_encodings.LAYOUTS[frame.encoding].rows > 1):
        return None  # two channels, of which OpenCV writes nothing, or an unknown name
    if frame.encoding in colours:
        told_as, picture = 'bgr8', image_encodings.decode(frame)[..., ::-1]
    elif codec == 'png':
        told_as, picture = '', samples(frame)
    else:
        told_as, picture = 'mono8', samples(frame)[..., :1] >> (8 * (frame.encoding == 'mono16'))
    data = cv2.imencode(f'.{codec}', np.ascontiguousarray(
        picture.astype('u2' if picture.max() > 255 else 'u1')))[1].tobytes()
    return compressed(data, f'{frame.encoding}; {codec} compressed {told_as}')


def compressed(data, text):
    """Return a frame of a CompressedImage."""
    return Frame(data, text, 0, 0, 0, 0, 0, compressed=True)


def png(array, *options):
    """Encode without loss."""
    return cv2.imencode('.png', array, list(options))[1].tobytes()


def jpeg(array):
    """Encode with little loss."""
    return cv2.imencode('.jpg', array, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def refusal(frame):
    """Return why a frame is refused, '' if it is not."""
    try:
        image_encodings.decode(frame)
    except ImageError as error:
        return str(error)
    return ''


@pytest.mark.parametrize('colours', [HUMBLE, JAZZY], ids=['humble', 'jazzy'])
@pytest.mark.parametrize('encoding', image_encodings.LAYOUTS)
def test_png_of_image_transport_is_the_raw_picture(encoding, colours):
    raw = raw_frame(encoding)
    packed = compress(raw, 'png', colours)
    if packed is None:
        assert encoding == 'nv12' or encoding in JAZZY and colours is HUMBLE
    else:
        assert np.array_equal(image_encodings.decode(packed), image_encodings.decode(raw))


@pytest.mark.parametrize('colours', [HUMBLE, JAZZY], ids=['humble', 'jazzy'])
@pytest.mark.parametrize('encoding', image_encodings.LAYOUTS)
def test_jpeg_of_image_transport_is_the_raw_picture_or_refused_where_it_lost_the_colours(
        encoding, colours):
    raw = raw_frame(encoding)
    packed = compress(raw, 'jpeg', colours)
    if packed is None:
        assert encoding == 'nv12' or encoding in JAZZY and colours is HUMBLE
    elif encoding in colours or encoding in GREY:
        found, wanted = image_encodings.decode(packed).astype(int), image_encodings.decode(raw)
        assert np.abs(found - wanted).mean() < (2 if encoding in GREY else 12)
    else:
        assert 'expected the colours that the raw picture has' in refusal(packed)


@pytest.mark.parametrize('encoding', NO_PICTURES)
def test_what_is_no_picture_raw_is_none_compressed_and_for_the_same_reason(encoding):
    raw = refusal(Frame(bytes(6144), encoding, 24, 32, 64, 0, 0))
    assert raw
    depth = np.full((HEIGHT, WIDTH), 1500, np.uint16)
    for data, text in ((png(depth), 'png compressed '), (png(scene()), 'png compressed bgr8'),
                       (jpeg(scene()), 'jpeg compressed bgr8'),
                       (jpeg(scene()[..., 0]), 'jpeg compressed mono8')):
        assert refusal(compressed(data, f'{encoding}; {text}')) == raw


@pytest.mark.parametrize('text, wanted', [
    ('jpeg', ('jpeg', None, '')), ('jpg', ('jpeg', None, '')), ('JPEG', ('jpeg', None, '')),
    ('.jpg', ('jpeg', None, '')), ('mjpeg', ('jpeg', None, '')), (' png ', ('png', None, '')),
    ('image/png', ('png', None, '')), ('', ('', None, '')), ('  ', ('', None, '')),
    ('rgb8; jpeg compressed bgr8', ('jpeg', 'rgb8', 'bgr8')),
    ('rgb8;jpeg compressed bgr8', ('jpeg', 'rgb8', 'bgr8')),
    ('mono8; jpeg compressed mono8', ('jpeg', 'mono8', 'mono8')),
    ('8UC1; png compressed ', ('png', '8UC1', '')), ('8UC1; PNG', ('png', '8UC1', '')),
    ('; jpeg compressed bgr8', ('jpeg', '', 'bgr8'))])
def test_formats_that_are_read(text, wanted):
    assert read_format(text) == Format(*wanted)


@pytest.mark.parametrize('text, words', [
    ('nv12', 'raw pictures go out as sensor_msgs/Image'),
    ('rgb8', 'raw pictures go out as sensor_msgs/Image'),
    ('h264', "'h264'"), ('webp', "'webp'"), ('jpeg2000', "'jpeg2000'"), ('jpeg xl', "'jpeg xl'"),
    ('theora', "'theora'"), ('rgb8; tiff compressed ', 'parameter format to jpeg or png'),
    ('rgb8; zstd compressed', 'parameter format'), ('rgb8;', 'parameter format'), (';', 'param'),
    ('rgb8; jpeg compressed bgr8; png', 'parameter format'),
    ('16UC1; compressedDepth png', 'holds depths'), ('32FC1; compressedDepth', 'holds depths'),
    ('16UC1; compressedDepth rvl', "remap `image` to the camera's colour topic"),
    ('bgr8; compresseddepth png', 'holds depths')])
def test_formats_that_are_refused_by_name(text, words):
    for data in (bytes(WIDTH * HEIGHT * 3 // 2), jpeg(scene()), png(scene())):
        assert words in refusal(compressed(data, text))


@pytest.mark.parametrize('text', ['png', 'jpeg', 'rgb8; png compressed bgr8',
                                  'bgr8; jpeg compressed bgr8'])
def test_another_codec_than_the_format_says_is_refused(text):
    data, other = (jpeg, 'jpeg') if 'png' in text else (png, 'png')
    assert f'do not decode: they are a {other}' in refusal(compressed(data(scene()), text))


@pytest.mark.parametrize('data', [jpeg(scene()), png(scene())])
def test_a_format_that_says_nothing_leaves_it_to_the_bytes(data):
    found = image_encodings.decode(compressed(data, ''))
    assert np.abs(found.astype(int) - scene()[..., ::-1]).mean() < 4


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8'])
@pytest.mark.parametrize('data, codec', [(jpeg(scene()), 'jpeg'), (png(scene()), 'png')])
@pytest.mark.parametrize('pixels', ['', 'rgb8', 'RGB8'])
def test_colours_whose_order_has_two_readings_are_asked_for(encoding, data, codec, pixels):
    """image_transport exchanges red and blue there; other publishers keep the codec's order."""
    text = f'{encoding}; {codec} compressed {pixels}'
    assert 'leaves open whether red or blue comes first' in refusal(compressed(data, text))


@pytest.mark.parametrize('data, text, inside', [
    (png(scene()), 'mono8; png compressed ', '3 channels of 8 bits'),
    (png(scene()), 'bayer_rggb8; png compressed ', '3 channels of 8 bits'),
    (png(scene()[..., 0]), '8UC3; png compressed ', '1 channel of 8 bits'),
    (png(scene()[..., 0]), 'rgb8; png compressed bgr8', '1 channel of 8 bits'),
    (png(scene()[..., 0]), 'mono16; png compressed ', '1 channel of 8 bits'),
    (png(scene()[..., 0] * np.uint16(257)), 'mono8; png compressed ', '1 channel of 16 bits'),
    (png(scene() * np.uint16(257)), 'rgb8; png compressed bgr8', '3 channels of 16 bits'),
    (jpeg(scene()), 'mono8; jpeg compressed mono8', '3 channels of 8 bits'),
    (jpeg(scene()[..., 0]), 'rgb8; jpeg compressed bgr8', '1 channel of 8 bits'),
    (jpeg(scene()[..., 0]), 'bayer_rggb8; jpeg compressed mono8', '1 channel of 8 bits')])
def test_pixels_that_the_format_contradicts_are_refused(data, text, inside):
    assert f'a picture of {inside}, but of format' in refusal(compressed(data, text))


@pytest.mark.parametrize('turn', range(1, 9))
@pytest.mark.parametrize('form, text', [('JPEG', 'jpeg'), ('PNG', 'png'),
                                        ('JPEG', 'rgb8; jpeg compressed bgr8'),
                                        ('PNG', 'rgb8; png compressed bgr8')])
def test_exif_turns_nothing(form, text, turn):
    """As in image_transport; the parameter image_rotation turns raw and compressed pictures."""
    pillow = pytest.importorskip('PIL.Image')
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:8, :16] = 255
    exif, written = pillow.Exif(), io.BytesIO()
    exif[0x0112] = turn
    pillow.fromarray(picture).save(written, form, exif=exif)
    found = image_encodings.decode(compressed(written.getvalue(), text))
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).max() < 30


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'LA', 'P', '1'])
@pytest.mark.parametrize('options', [{}, {'transparency': 3}])
def test_pngs_of_every_kind_decode_without_their_alpha(mode, options):
    pillow = pytest.importorskip('PIL.Image')
    drawn = pillow.fromarray(scene()).convert(mode)
    written = io.BytesIO()
    drawn.save(written, 'PNG', **(options if mode in ('P', 'L') else {}))
    found = image_encodings.decode(compressed(written.getvalue(), 'png'))
    assert np.array_equal(found, np.asarray(drawn.convert('RGB')))


def interlaced():
    """Return an Adam7 png of one grey level, which neither OpenCV nor Pillow writes."""
    passes = ((8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1))
    starts = ((0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0))
    rows = b''.join(
        b'\0' + b'\x55' * len(range(x, WIDTH, across))
        for (down, across), (y, x) in zip(passes, starts) for _ in range(y, HEIGHT, down))
    head = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 8, 0, 0, 0, 1)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(rows)) \
        + chunk(b'IEND', b'')


def chunk(kind, data):
    """Return a chunk of a png."""
    return struct.pack('>I', len(data)) + kind + data + struct.pack(
        '>I', zlib.crc32(kind + data))


def test_an_interlaced_png_decodes():
    found = image_encodings.decode(compressed(interlaced(), 'mono8; png compressed '))
    assert found.shape == (HEIGHT, WIDTH, 3) and (found == 0x55).all()


def rewritten(change):
    """Return a png with sound checksums around pixels that `change` has damaged."""
    rows = b''.join(b'\0' + row.tobytes() for row in scene())
    head = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', change(rows)) \
        + chunk(b'IEND', b'')


@pytest.mark.parametrize('change', [
    lambda rows: zlib.compress(rows)[:-300], lambda rows: zlib.compress(rows[:len(rows) // 2]),
    lambda rows: zlib.compress(rows)[:-4] + bytes(4), lambda rows: b'', lambda rows: rows,
    lambda rows: zlib.compress(rows[:970] + b'\x09' + rows[971:])])
def test_pixels_that_are_not_whole_inside_of_sound_chunks_are_refused(change):
    assert image_encodings.decode(compressed(rewritten(zlib.compress), 'png')).shape == (24, 32, 3)
    assert 'do not decode' in refusal(compressed(rewritten(change), 'png'))


PNGS = {'colour': png(scene()), 'grey': png(scene()[..., 0]),
        'depth': png(scene()[..., 0] * np.uint16(257)),
        'palette': png(np.full((HEIGHT, WIDTH), 3, np.uint8), cv2.IMWRITE_PNG_BILEVEL, 1)}


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(sorted(PNGS)), st.floats(0, 1, exclude_max=True), st.integers(1, 3000),
       st.sampled_from(['missing', 'zeroed', 'overwritten', 'cut', 'glued']),
       st.binary(max_size=9))
def test_a_png_that_is_damaged_anywhere_is_refused_or_as_it_was(kind, share, size, how, new):
    data = PNGS[kind]
    at = int(share * len(data))
    bad = {'missing': data[:at] + data[at + size:], 'cut': data[:at],
           'zeroed': data[:at] + bytes(len(data[at:at + size])) + data[at + size:],
           'overwritten': data[:at] + new + data[at + len(new):],
           'glued': data[:at] + data}[how]
    if not refusal(compressed(bad, 'png')):
        assert np.array_equal(image_encodings.decode(compressed(bad, 'png')),
                              image_encodings.decode(compressed(data, 'png')))


@pytest.mark.parametrize('behind', [bytes(64), b'rubbish', png(scene())])
def test_what_comes_behind_a_whole_png_is_harmless(behind):
    found = image_encodings.decode(compressed(png(scene()) + behind, 'png'))
    assert np.array_equal(found, scene()[..., ::-1])


def test_diagnostics_show_the_size_that_a_compressed_picture_states():
    assert size_and_encoding(compressed(jpeg(scene()), 'jpeg')) == '32x24 jpeg'
    assert size_and_encoding(compressed(png(scene()), 'rgb8; png compressed bgr8')) == \
        '32x24 rgb8; png compressed bgr8'
    assert size_and_encoding(compressed(b'none', 'jpeg')) == '0x0 jpeg'
    assert size_and_encoding(raw_frame('mono8')) == '32x24 mono8'


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=30) | st.from_regex(r'\w{2,5};? ?(jpeg|png)? ?(compressed)? ?\w{0,5}'))
def test_any_format_is_read_or_refused(text):
    for data in (jpeg(scene()), png(scene())):
        refusal(compressed(data, text))


def test_a_deep_grey_png_that_says_no_more_goes_the_way_of_mono16():
    deep = scene()[..., 0] * np.uint16(256) + np.uint16(77)
    raw = Frame(deep.tobytes(), 'mono16', HEIGHT, WIDTH, 2 * WIDTH, 0, 0,
                sys.byteorder == 'big')
    for text in ('png', '', 'mono16; png compressed '):
        assert np.array_equal(image_encodings.decode(compressed(png(deep), text)),
                              image_encodings.decode(raw))


def test_the_byte_order_of_a_raw_picture_says_nothing_of_a_png():
    """A png has its own; pixels are decoded into this machine's."""
    deep = scene()[..., 0] * np.uint16(256) + np.uint16(1)
    found = image_encodings.decode(compressed(png(deep), 'mono16; png compressed '))
    assert sys.byteorder in ('little', 'big')
    assert np.array_equal(found[..., 0], scene()[..., 0])
