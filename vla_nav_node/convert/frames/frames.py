"""Load real pictures to calibrate and verify on: noise or a black picture would prove nothing."""

from contextlib import closing
from itertools import islice
from pathlib import Path
import re
from typing import Generator, Iterator, List, Tuple

import numpy as np

from .bag import bag_pictures, is_bag
from .calibrated import Calibrated, NONE, SIMULATOR
from ...errors import ImageError, SettingError
from ...system.progress import track
from ...types import Frame
from ...vision.blank_check import is_blank
from ...vision.image_encodings import decode
from ...vision.preprocess import InputSpec, Preprocess

PICTURES = ('.jpg', '.jpeg', '.png')
SOURCES = f"'{SIMULATOR}' (the simulator), a folder of {', '.join(PICTURES)}, a rosbag2 " \
          '(its folder, .mcap or .db3; BAG:/topic where it has several cameras), or frames in .npy'

Pictures = Generator[np.ndarray, None, None]  # each uint8 [H, W, 3] RGB, of any size


def load_frames(source: str, spec: InputSpec, count: int,
                calibrated: Calibrated = NONE) -> np.ndarray:
    """
    Return up to `count` frames of a source, as the policy sees them: uint8 [N, H, W, 3] RGB.

    They are consecutive, except that the `calibrated` frames and their neighbours are left out.
    Raise SettingError or ImageError if the source cannot be read or proves nothing.
    """
    with closing(pictures_of(source)) as pictures:
        return take_frames(calibrated.others(pictures, source), source, spec, count)


def take_frames(pictures: Iterator[np.ndarray], source: str, spec: InputSpec,
                count: int) -> np.ndarray:
    """Return up to `count` of these pictures as the policy sees them; raise as load_frames."""
    if count < 1:
        raise SettingError(f'{count} frames', 'at least 1')
    preprocess = Preprocess(spec)
    frames = [preprocess(picture)[0].copy()
              for picture in track(islice(pictures, count), 'frames', count)]
    if not frames:
        raise SettingError(f'{source} holds no picture', SOURCES)
    if all(map(is_blank, frames)):
        raise SettingError(f'every picture of {source} is one even colour', 'pictures of a camera',
                           'record them with the lens open')
    if len(frames) > 1 and all((frame == frames[0]).all() for frame in frames[1:]):
        raise SettingError(f'all {len(frames)} pictures of {source} are the same', 'a moving '
                           'camera', 'record them while the robot drives')
    return np.stack(frames)


def pictures_of(source: str) -> Pictures:
    """Open a source; its pictures are decoded one by one as they are asked for."""
    path, _, topic = source.partition(':/')
    root = Path(path if topic else source).expanduser()
    if not root.exists():
        raise SettingError(f'no pictures at {root}', SOURCES)
    if is_bag(root):
        return bag_pictures(root, f'/{topic}' if topic else '')
    if root.is_dir():
        return _folder(root)
    if root.suffix == '.npy':
        return _array(root)
    raise SettingError(f'no pictures can be read from {root}', SOURCES)


def _folder(root: Path) -> Pictures:
    """Yield the pictures of a folder, decoded as the node decodes compressed images."""
    paths = (path for path in root.iterdir() if path.suffix.lower() in PICTURES)
    for path in sorted(paths, key=_natural_key):
        try:
            data = path.read_bytes()
            yield decode(Frame(data, path.suffix[1:], 0, 0, 0, 0, 0, compressed=True))
        except OSError as error:
            raise SettingError(f'{path} cannot be read: {error.strerror}',
                               'a readable file') from None
        except ImageError as error:
            raise ImageError(f'{path}: {error.found}', error.expected,
                             'take it out, or replace it') from None


def _natural_key(path: Path) -> List[Tuple[int, str]]:
    """Return a sort key that puts frame_9 before frame_10."""
    parts = re.findall(r'\d+|\D+', path.name)
    return [(int(part), '') if part.isdigit() else (-1, part) for part in parts]


def _array(path: Path) -> Pictures:
    try:
        frames = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SettingError(f'{path} cannot be read: {error}', 'an array that numpy.save wrote') \
            from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise SettingError(f'{path} holds {frames.dtype} {list(frames.shape)}',
                           'uint8 [N, H, W, 3] in RGB')
    yield from (np.ascontiguousarray(frame) for frame in frames)
