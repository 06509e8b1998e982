"""Every encoding against pictures packed by hand, through OpenCV and through cv_bridge."""

import dataclasses
import importlib.util
import re

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from vla_nav_node.errors import ImageError
from vla_nav_node.types import Frame
from vla_nav_node.vision import image_encodings

HEIGHT, WIDTH = 12, 16
PADDINGS = (0, 1, 3, 8)  # bytes; 1 and 3 divide by few pixels' sizes
BAYER = {'bayer_rggb8': 'rggb', 'bayer_bggr8': 'bggr', 'bayer_gbrg8': 'gbrg',
         'bayer_grbg8': 'grbg'}


@pytest.fixture(scope='module', params=['opencv', 'in one memory', 'cv_bridge'])
def decode(request):
    """Return each decoder in turn; every test applies to all of them."""
    if request.param == 'opencv':
        return image_encodings.decode
    if request.param == 'in one memory':
        return image_encodings.Decoder()
    if importlib.util.find_spec('cv_bridge') is None:
        pytest.skip('cv_bridge is not importable here (it comes with ROS 2, not with pip)')
    from vla_nav_node.node import messages
    return messages.decoder()


def picture():
    """Draw RGB with another colour in each block of 4x4, no two channels alike."""
    blocks = np.random.default_rng(7).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return blocks.repeat(4, 0).repeat(4, 1)


def yuv(rgb):
    """Convert by BT.601, 16 to 235, to uint8 [H, W, 3] of Y, Cb, Cr."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0],
                       [112.0, -93.786, -18.214]]) / 255.0
    return np.rint(rgb @ matrix.T + [16, 128, 128]).astype(np.uint8)


def pack_422(rgb, order):
    """Pack two pixels into four bytes, in `order` of their parts (y0, y1, u, v)."""
    y, u, v = np.moveaxis(yuv(rgb), 2, 0)
    parts = {'y0': y[:, 0::2], 'y1': y[:, 1::2], 'u': u[:, 0::2], 'v': v[:, 0::2]}
    return np.stack([parts[name] for name in order.split()], 2).reshape(len(rgb), -1)


def pack_420(rgb, chroma):
    """Put a plane of chroma at half size, interleaved in the given order, below the luma."""
    parts = yuv(rgb)
    below = parts[0::2, 0::2, chroma].reshape(len(rgb) // 2, -1)
    return np.concatenate([parts[..., 0], below])


def pack_mosaic(rgb, pattern):
    """Keep one channel of each pixel, as the sensor's filter of that pattern does."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2::2, i % 2::2] = rgb[i // 2::2, i % 2::2, 'rgb'.index(letter)]
    return mosaic


def with_alpha(rgb):
    """Add a fourth channel that must not show."""
    return np.concatenate([rgb, np.full(rgb.shape[:2] + (1,), 77, np.uint8)], 2)


def grey(rgb):
    """Return the expected picture of the red channel alone."""
    return rgb[..., :1].repeat(3, 2)


PACKED = {
    'rgb8': lambda rgb: rgb.reshape(HEIGHT, -1),
    'bgr8': lambda rgb: rgb[..., ::-1].reshape(HEIGHT, -1),
    '8UC3': lambda rgb: rgb[..., ::-1].reshape(HEIGHT, -1),
    'rgba8': lambda rgb: with_alpha(rgb).reshape(HEIGHT, -1),
    'bgra8': lambda rgb: with_alpha(rgb[..., ::-1]).reshape(HEIGHT, -1),
    'mono8': lambda rgb: rgb[..., 0],
    '8UC1': lambda rgb: rgb[..., 0],
    'mono16': lambda rgb: (rgb[..., 0] * np.uint16(256) + np.uint16(200)).astype('<u2').view('u1'),
    'yuv422': lambda rgb: pack_422(rgb, 'u y0 v y1'),
    'uyvy': lambda rgb: pack_422(rgb, 'u y0 v y1'),
    'yuv422_yuy2': lambda rgb: pack_422(rgb, 'y0 u y1 v'),
    'yuyv': lambda rgb: pack_422(rgb, 'y0 u y1 v'),
    'nv12': lambda rgb: pack_420(rgb, [1, 2]),
    'nv21': lambda rgb: pack_420(rgb, [2, 1]),
}
GREY = ('mono8', '8UC1', 'mono16')
ROUNDED = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'nv24')


def frame_of(rows, encoding, padding=0, **kwargs):
    """Return a frame with padding that would show if it were read."""
    rows = np.ascontiguousarray(rows)
    padded = np.full((len(rows), rows.shape[1] + padding), 254, np.uint8)
    padded[:, :rows.shape[1]] = rows
    return Frame(padded.tobytes(), encoding, HEIGHT, WIDTH, padded.shape[1], 0, 0, **kwargs)


def check_picture(found, wanted, tolerance=0):
    """Compare two pictures, value by value."""
    assert found.dtype == np.uint8
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= tolerance


@pytest.mark.parametrize('padding', PADDINGS)
@pytest.mark.parametrize('encoding', PACKED)
def test_encoding(decode, encoding, padding):
    """Each encoding decodes to the picture that was packed, with padded rows, too."""
    rgb = picture()
    found = decode(frame_of(PACKED[encoding](rgb), encoding, padding))
    # YUV of 8 bits has lost up to two grey levels before the decoder sees it.
    check_picture(found, grey(rgb) if encoding in GREY else rgb, 3 * (encoding in ROUNDED))


@pytest.mark.parametrize('padding', PADDINGS)
@pytest.mark.parametrize('encoding', BAYER)
@pytest.mark.parametrize('colour', [(250, 20, 90), (10, 200, 60), (30, 70, 240)])
def test_mosaic(decode, encoding, padding, colour):
    """A mosaic of one colour comes out as that colour, whichever filter is at its corner."""
    rgb = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    found = decode(frame_of(pack_mosaic(rgb, BAYER[encoding]), encoding, padding))
    check_picture(found, rgb)


@pytest.mark.parametrize('padding', PADDINGS)
def test_nv24(decode, padding):
    """Chroma at full size: rows of twice the step below the luma, and no neighbour's colour."""
    rgb = np.random.default_rng(3).integers(60, 190, (HEIGHT, WIDTH, 3), np.uint8)
    parts = yuv(rgb)
    luma = frame_of(parts[..., 0], 'nv24', padding)
    chroma = frame_of(parts[..., 1:].reshape(HEIGHT, -1), 'nv24', 2 * padding)
    frame = Frame(luma.data + chroma.data, 'nv24', HEIGHT, WIDTH, luma.step, 0, 0)
    check_picture(decode(frame), rgb, 3)


def test_mono16_of_either_byte_order(decode):
    """The high byte is kept, in either byte order."""
    big = np.full((HEIGHT, WIDTH), 0x1234, '>u2')
    found = decode(frame_of(big.view('u1'), 'mono16', is_bigendian=True))
    check_picture(found, np.full((HEIGHT, WIDTH, 3), 0x12, np.uint8))
    found = decode(frame_of(big.astype('<u2').view('u1'), 'mono16'))
    check_picture(found, np.full((HEIGHT, WIDTH, 3), 0x12, np.uint8))


@pytest.mark.parametrize('encoding', ['bgr8', 'mono8'])
def test_byte_order_does_not_matter_to_bytes(decode, encoding):
    """On pictures of 8 bits is_bigendian means nothing, and drivers set it at will."""
    rgb = picture()
    found = decode(frame_of(PACKED[encoding](rgb), encoding, is_bigendian=True))
    check_picture(found, grey(rgb) if encoding in GREY else rgb)


def test_last_row_without_its_padding(decode):
    """Drivers that crop the picture from a larger one omit the last padding."""
    rgb = picture()
    frame = frame_of(PACKED['bgr8'](rgb), 'bgr8', 5)
    check_picture(decode(Frame(frame.data[:-5], 'bgr8', HEIGHT, WIDTH, frame.step, 0, 0)), rgb)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'mono8', 'yuyv', 'bayer_rggb8'])
def test_last_row_without_its_padding_in_every_packed_encoding(decode, encoding):
    """One picture comes out, whichever decoder the machine has."""
    rows = pack_mosaic(picture(), 'rggb') if encoding in BAYER else PACKED[encoding](picture())
    whole = frame_of(rows, encoding, 24)
    short = dataclasses.replace(whole, data=whole.data[:-24])
    check_picture(decode(short), decode(whole).copy())


def at_size(encoding, height, width, more, step=None):
    """Return a frame with `more` bytes than its header explains."""
    layout = image_encodings.LAYOUTS[encoding]
    step = step or width * layout.pixel_bytes
    data = np.full(round(height * layout.rows) * step + more, 40, np.uint8)
    return Frame(data, encoding, height, width, step, 0, 0)


@pytest.mark.parametrize('encoding, height, width, more', [
    ('rgb8', 1080, 1920, 8 * 5760),  # the hardware's 1088 rows
    ('yuyv', 1080, 1920, 8 * 3840), ('mono8', 600, 804, 8 * 804), ('bgr8', 360, 640, 8 * 1920),
    ('rgb8', 1080, 1920, 1024), ('mono8', 50, 50, 4096 - 2500)])  # a whole number of pages
def test_bytes_behind_the_last_row_of_a_packed_picture_may_be_there(
        decode, encoding, height, width, more):
    assert decode(at_size(encoding, height, width, more)).shape == (height, width, 3)


@pytest.mark.parametrize('encoding, more', [
    *((encoding, more) for encoding in ('nv12', 'nv21', 'nv24')
      for more in (1, 640, 16 * 640, 640 * 480)),
    ('mono8', 2 * 640 * 480),  # the bytes of rgb8
    ('mono8', 640 * 480), ('mono8', 640 * 480 // 2),  # yuyv, nv12
    ('rgb8', 640 * 480),  # rgba8
    ('yuyv', 640 * 480), ('rgb8', 3 * 640 * 480),  # another picture behind it, or twice the rows
    ('rgb8', 3 * 640 * 240), ('rgb8', 3 * 640 * 16),  # more rows
    ('rgb8', 16 * 480), ('mono8', 480)])  # longer rows than step says
def test_bytes_that_the_header_does_not_explain_are_refused(decode, encoding, more):
    with pytest.raises(ImageError, match=f'{encoding} in rows .step. of') as refused:
        decode(at_size(encoding, 480, 640, more))
    assert refused.value.expected and refused.value.fix


@pytest.mark.parametrize('named, is_really', [
    (named, other) for named in ('mono8', 'yuyv', 'rgb8', 'bayer_rggb8', '8UC3', 'nv12')
    for other in ('yuyv', 'rgb8', 'rgba8')
    if image_encodings.LAYOUTS[named].pixel_bytes < image_encodings.LAYOUTS[other].pixel_bytes])
def test_rows_of_another_encoding_are_refused(decode, named, is_really):
    """The driver sets the right step but a wrong encoding."""
    step = 640 * image_encodings.LAYOUTS[is_really].pixel_bytes
    with pytest.raises(ImageError, match=f'as {step // 640} bytes for each pixel would have'):
        decode(at_size(named, 480, 640, 0, step))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(['mono8', 'yuyv', 'rgb8', 'rgba8']),
       st.sampled_from(['mono8', 'yuyv', 'rgb8', 'rgba8']),
       st.integers(16, 60).map(lambda n: 2 * n), st.integers(16, 60).map(lambda n: 2 * n))
def test_no_packed_picture_passes_for_another(named, is_really, height, width):
    """Of the same size, without padding: only the bytes that belong to its name are accepted."""
    data = bytes(height * width * image_encodings.LAYOUTS[is_really].pixel_bytes)
    step = width * image_encodings.LAYOUTS[named].pixel_bytes
    frame = Frame(data, named, height, width, step, 0, 0)
    if named == is_really:
        image_encodings.check(frame)
    else:
        with pytest.raises(ImageError):
            image_encodings.check(frame)


@pytest.mark.parametrize('encoding', BAYER)
@pytest.mark.parametrize('height, width', [(11, 16), (12, 15), (11, 15), (5, 5)])
def test_a_mosaic_of_an_odd_size_is_a_picture(decode, encoding, height, width):
    """No pixel shares its colour with a missing one."""
    rgb = np.full((12, 16, 3), (250, 20, 90), np.uint8)
    mosaic = pack_mosaic(rgb, BAYER[encoding])[:height, :width]
    frame = Frame(np.ascontiguousarray(mosaic), encoding, height, width, width, 0, 0)
    check_picture(decode(frame), rgb[:height, :width])


@pytest.mark.parametrize('bits, good', [(8, False), (10, False), (12, False), (14, True),
                                        (16, True)])
@pytest.mark.parametrize('big', [False, True])
def test_mono16_of_fewer_bits_is_no_black_picture(decode, bits, good, big):
    """10 and 12 bits that are not shifted up would give a black picture."""
    pixels = np.linspace(0, 2 ** bits - 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    rows = pixels.astype('>u2' if big else '<u2').view('u1')
    frame = frame_of(rows, 'mono16', is_bigendian=big)
    if good:
        assert decode(frame).max() == 2 ** (bits - 8) - 1
    else:
        with pytest.raises(ImageError, match='no pixel above [0-9]+ of 65535; .*shift them up'):
            decode(frame)


@pytest.mark.parametrize('padding', PADDINGS)
def test_rgb8_is_not_copied(decode, padding):
    """The picture is a read-only view of the message's bytes."""
    frame = frame_of(PACKED['rgb8'](picture()), 'rgb8', padding)
    found = decode(frame)
    assert np.shares_memory(found, np.frombuffer(frame.data, np.uint8))
    assert not found.flags.writeable


@pytest.mark.parametrize('encoding', sorted(set(PACKED) - {'rgb8'}))
def test_memory_is_allocated_once_for_pictures_of_one_size(encoding):
    """A picture that is no view is written into the previous picture's buffer."""
    decode = image_encodings.Decoder()
    frame = frame_of(PACKED[encoding](picture()), encoding)
    first = decode(frame)
    wanted = first.copy()
    first[:] = 0
    assert decode(frame) is first
    check_picture(first, wanted)


@pytest.mark.parametrize('text', ['jpeg', 'rgb8; jpeg compressed bgr8', 'jpg'])
def test_jpeg(decode, text):
    """A jpeg decodes with red first, whatever its format states."""
    rgb = np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)
    data = cv2.imencode('.jpg', rgb[..., ::-1])[1].tobytes()
    check_picture(decode(Frame(data, text, 0, 0, 0, 0, 0, compressed=True)), rgb, 4)


@pytest.mark.parametrize('pixels,scale', [('u1', 1), ('<u2', 257)])
def test_png(decode, pixels, scale):
    """A png of 8 or 16 bits, colour, grey or with alpha, decodes exactly."""
    rgb = picture()
    for drawn, wanted in ((rgb[..., ::-1], rgb), (rgb[..., 0], grey(rgb)),
                          (with_alpha(rgb[..., ::-1]), rgb)):
        data = cv2.imencode('.png', drawn.astype(pixels) * np.dtype(pixels).type(scale))[1]
        frame = Frame(data, 'png', 0, 0, 0, 0, 0, compressed=True)
        check_picture(decode(frame), wanted)


def jpeg(size=64):
    """Encode noise, which gives long data to cut."""
    noise = np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8)
    return cv2.imencode('.jpg', noise)[1].tobytes()


@pytest.mark.parametrize('data', [b'', b'not a picture', jpeg()[:-2], jpeg()[:2000],
                                  cv2.imencode('.png', picture())[1].tobytes()[:60]])
def test_compressed_bytes_that_do_not_decode(decode, data):
    """Empty, foreign or cut data is refused: half a picture must not drive."""
    with pytest.raises(ImageError, match=rf'{len(data)} bytes .*do not decode'):
        decode(Frame(data, 'jpeg', 0, 0, 0, 0, 0, compressed=True))


def test_huge_compressed_picture(decode):
    """A compressed picture has the same largest side as one that is not."""
    data = cv2.imencode('.png', np.zeros((1, image_encodings.MAX_SIDE + 1), np.uint8))[1]
    with pytest.raises(ImageError, match='8193x1'):
        decode(Frame(data, 'png', 0, 0, 0, 0, 0, compressed=True))


def stating(width, height):
    """Return a jpeg that states another size than it has."""
    data = bytearray(jpeg())
    at = data.index(b'\xff\xc0')
    data[at + 5:at + 9] = height.to_bytes(2, 'big') + width.to_bytes(2, 'big')
    return bytes(data)


@pytest.mark.parametrize('length', [2 ** 32 - 1, 2 ** 31, 400])
def test_a_png_chunk_that_states_more_than_there_is_is_refused_before_it_is_read(decode, length):
    """118 bytes of png took the decoder 4 GB; the fuzzer found them."""
    data = bytearray(cv2.imencode('.png', picture())[1].tobytes())
    at = data.index(b'IDAT')
    data[at - 4:at] = length.to_bytes(4, 'big')
    del data[400:]
    with pytest.raises(ImageError, match='a chunk of the png goes beyond its end'):
        decode(Frame(bytes(data), 'png', 0, 0, 0, 0, 0, compressed=True))


def png_header(width, height):
    """Return the start of a png of that size."""
    return b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR' + width.to_bytes(4, 'big') + height.to_bytes(4, 'big')


@pytest.mark.parametrize('data,size', [
    (stating(65000, 16000), '65000x16000'), (stating(0, 64), '0x64'), (stating(64, 0), '64x0'),
    (png_header(2 ** 31, 1), '2147483648x1'), (png_header(0, 0), '0x0')])
def test_a_stated_size_is_refused_before_it_is_allocated(decode, data, size):
    """A jpeg of 2 kB that stated 65000x16000 took the decoder minutes and 6 GB."""
    with pytest.raises(ImageError, match=f'compressed picture of {size}; expected sides of 1 to'):
        decode(Frame(data, 'jpeg', 0, 0, 0, 0, 0, compressed=True))


def test_a_cut_jpeg_with_a_whole_thumbnail(decode):
    """The end of the thumbnail is not the end of the picture; padding and fill bytes are fine."""
    small, whole = jpeg(8), jpeg()
    exif = b'\xff\xe1' + (len(small) + 2).to_bytes(2, 'big') + small
    picture = whole[:2] + exif + b'\xff' + whole[2:]
    wanted = decode(Frame(whole, 'jpeg', 0, 0, 0, 0, 0, compressed=True))
    padded = Frame(picture + bytes(7), 'jpeg', 0, 0, 0, 0, 0, compressed=True)
    check_picture(decode(padded), wanted)
    with pytest.raises(ImageError, match='has no end'):
        decode(Frame(picture[:-500], 'jpeg', 0, 0, 0, 0, 0, compressed=True))


@pytest.mark.parametrize('suffix', ['.bmp', '.tiff', '.webp', '.ppm', '.gif'])
def test_only_two_decoders_are_open_to_what_comes_in(decode, suffix):
    """Of the dozen decoders that OpenCV chooses by content, no camera needs the others."""
    if not cv2.haveImageWriter(suffix):
        pytest.skip(f'this OpenCV does not write {suffix}')
    data = cv2.imencode(suffix, picture())[1].tobytes()
    with pytest.raises(ImageError, match='expected a whole jpeg or png'):
        decode(Frame(data, 'jpeg', 0, 0, 0, 0, 0, compressed=True))


def test_a_name_as_long_as_a_book_is_told_in_short(decode):
    """A message's header goes to the log and the diagnostics."""
    for compressed in (False, True):
        with pytest.raises(ImageError) as refused:
            decode(Frame(b'', '\udcff\0' * 10 ** 6, 0, 0, 0, 0, 0, compressed=compressed))
        assert len(str(refused.value).encode()) < 600


@pytest.mark.parametrize('found,change', [
    ("encoding 'h264'", {'encoding': 'h264'}),
    ("encoding ''", {'encoding': ''}),
    ('picture of 0x12', {'width': 0}),
    ('picture of 16x-1', {'height': -1}),
    ('picture of 16x9000', {'height': 9000}),
    ('47 bytes', {'step': 47}),
    ('divides by 2', {'encoding': 'nv12', 'height': 11}),
    ('divides by 2', {'encoding': 'yuv422', 'width': 15}),
    ('at least 4 pixels', {'encoding': 'bayer_rggb8', 'width': 2}),
    ('576 bytes of data; expected at least 598', {'step': 50}),
])
def test_refusals(decode, found, change):
    """A frame that does not fit is refused with found, expected and fix."""
    fields = {'data': bytes(12 * 48), 'encoding': 'rgb8', 'height': 12, 'width': 16, 'step': 48}
    with pytest.raises(ImageError, match=found) as refused:
        decode(Frame(**{**fields, **change}, stamp_ns=0, received_ns=0))
    assert refused.value.found and refused.value.expected and refused.value.fix


FRAMES = st.builds(
    Frame, data=st.binary(max_size=2000),
    encoding=st.sampled_from(sorted(image_encodings.LAYOUTS) + ['x']),
    height=st.integers(-1, 24), width=st.integers(-1, 24), step=st.integers(-1, 100),
    stamp_ns=st.just(0), received_ns=st.just(0), is_bigendian=st.booleans(),
    compressed=st.just(False))


@st.composite
def almost_sound(draw):
    """Draw a frame whose header nearly explains its bytes."""
    encoding = draw(st.sampled_from(sorted(image_encodings.LAYOUTS)))
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    layout = image_encodings.LAYOUTS[encoding]
    step = width * layout.pixel_bytes + draw(st.sampled_from([0, 0, 1, 4, 24]))
    size = max(0, round(height * layout.rows) * step + draw(st.integers(-30, 30)))
    seed = draw(st.integers(0, 9))
    data = np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
    return Frame(data, encoding, height, width, step, 0, 0, draw(st.booleans()))


@settings(deadline=None, max_examples=600)
@given(frame=st.one_of(FRAMES, almost_sound()))
def test_any_frame_is_the_same_picture_or_refusal_for_every_decoder(decode, frame):
    """The result is a picture of the stated shape or an ImageError."""
    try:
        wanted = image_encodings.decode(frame)
    except ImageError as error:
        with pytest.raises(ImageError, match=re.escape(str(error))):
            decode(frame)
        return
    assert wanted.shape == (frame.height, frame.width, 3)
    check_picture(decode(frame), wanted, 2)  # OpenCV's releases round YUV differently


@settings(deadline=None, max_examples=200)
@given(start=st.sampled_from([b'', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'BM', b'GIF89a']),
       data=st.binary(max_size=300), text=st.sampled_from(['jpeg', 'png', '', 'h264']))
def test_any_bytes_decode_or_are_refused(decode, start, data, text):
    """The same for compressed pictures."""
    try:
        found = decode(Frame(start + data, text, 0, 0, 0, 0, 0, compressed=True))
    except ImageError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3 and found.shape[2] == 3


@settings(deadline=None, max_examples=60)
@given(position=st.integers(100, 1999), value=st.integers(0, 255))
def test_a_damaged_jpeg_decodes_or_is_refused(decode, position, value):
    """A wrong byte in the middle raises nothing else."""
    data = bytearray(jpeg())
    data[position] = value
    try:
        found = decode(Frame(bytes(data), 'jpeg', 0, 0, 0, 0, 0, compressed=True))
    except ImageError:
        return
    assert found.ndim == 3
