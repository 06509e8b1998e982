"""
Keep the frames that calibrated an int8 graph out of what judges it.

quantize writes a short hash of each frame into policy.yaml. Frames taken just before or after one
of them are nearly the same picture, and are left out as well.
"""

import base64
from collections import deque
import hashlib
from typing import (
    Any, Callable, Deque, Dict, FrozenSet, Generator, Iterable, List, Sequence, Set, Tuple,
    TypeVar)

import numpy as np

from ...bundle.bundle import Bundle
from ...errors import SettingError
from ...vision.preprocess import Preprocess

SIMULATOR = 'sim'
# Simulator seeds for these frames: apart from those of training (from 1,000,000) and those of
# evaluation (from 5000).
FIRST_SEED, SEEDS_APART = 3_000_000, 1000
SEED = 1  # of the simulator's calibration frames; other seeds judge
HASH_BYTES = 6  # per frame: two of 10,000 and 1,000 frames collide with a probability of 4e-8
MOST_FRAMES = 10_000  # in a manifest
NEIGHBOURS = 15  # frames: half a second of a camera at 30 Hz
FEWEST = 30  # frames that must be left after some were taken out
T = TypeVar('T')


def calibration_facts(source: str, frames: np.ndarray) -> Dict[str, Any]:
    """Return what the manifest records of the calibration frames, uint8 [N, H, W, 3]."""
    seed = {'seed': SEED} if source == SIMULATOR else {}
    return {'frames': {'source': source, 'count': len(frames), **seed},
            'calibrated': base64.b64encode(b''.join(map(_hash, frames))).decode()}


def _hash(frame: np.ndarray) -> bytes:
    return hashlib.sha256(frame.tobytes()).digest()[:HASH_BYTES]


class Calibrated:
    """The frames that calibrated the int8 graphs of some bundles."""

    def __init__(self, judged: Iterable[Tuple[Bundle, str]] = ()) -> None:
        """
        Collect the calibration frames of each (bundle, precision); only int8 has some.

        Raise SettingError if a manifest does not record them.
        """
        self._known: List[Tuple[Preprocess, FrozenSet[bytes]]] = []
        self._seeds: Set[int] = set()
        for bundle, precision in judged:
            if precision == 'int8':
                self._add(bundle)

    def _add(self, bundle: Bundle) -> None:
        # int8 is for the CPU, int8.qdq for TensorRT.
        for name, facts in bundle.manifest.get('quantization', {}).items():
            if f'policy.{name}.onnx' not in bundle.manifest['files'] \
                    or not isinstance(facts, dict):
                continue
            text, frames = facts.get('calibrated'), facts.get('frames')
            if isinstance(frames, dict) and frames.get('source') == SIMULATOR:
                seed = frames.get('seed')
                self._seeds.add(seed if isinstance(seed, int) else SEED)
                text = text or ''
            self._known.append((Preprocess(bundle.input), _read_hashes(bundle, name, text)))

    def refuse_seed(self, seed: int) -> None:
        """Raise SettingError if the simulator's episodes of this seed calibrated."""
        if seed in self._seeds:
            raise SettingError(f'the pictures of seed {seed} calibrated the int8', 'others',
                               'choose another --seed')

    def refuse_episodes(self, seeds: Sequence[int]) -> None:
        """Raise SettingError if any of these consecutive simulator seeds calibrated."""
        for seed in self._seeds:
            first = FIRST_SEED + SEEDS_APART * seed
            if seeds[0] < first + SEEDS_APART and seeds[-1] >= first:
                raise SettingError(f'seeds {seeds[0]} to {seeds[-1]} calibrated the int8',
                                   f'none from {first} to {first + SEEDS_APART - 1}',
                                   'choose another --seed')

    def others(self, items: Iterable[T], source: str,
               picture_of: Callable[[T], Any] = lambda item: item) -> Generator[T, None, None]:
        """
        Yield the items whose pictures neither calibrated nor are neighbours of one that did.

        Raise SettingError at the end of the source if too few are left.
        """
        if not self._known:
            yield from items
            return
        pending: Deque[T] = deque()  # a calibration frame may still follow these
        to_skip = read = calibrated = left = 0
        for item in items:
            read += 1
            if self._is_known(picture_of(item)):
                pending.clear()
                calibrated, to_skip = calibrated + 1, NEIGHBOURS
            elif to_skip:
                to_skip -= 1
            else:
                pending.append(item)
                if len(pending) > NEIGHBOURS:
                    left += 1
                    yield pending.popleft()
        left += len(pending)
        if calibrated and left < FEWEST:
            raise SettingError(
                f'{source} has {read} frames: {calibrated} of them calibrated the int8, and '
                f'{left} are neither these nor within {NEIGHBOURS} frames of one',
                f'at least {FEWEST} others', "record more, or run 'vla_nav quantize' with a lower "
                '--count')
        yield from pending

    def _is_known(self, picture: np.ndarray) -> bool:
        return any(_hash(preprocess(picture)[0]) in known for preprocess, known in self._known)


NONE = Calibrated()


def _read_hashes(bundle: Bundle, name: str, text: Any) -> FrozenSet[bytes]:
    try:
        hashes = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise SettingError(
            f'the policy.yaml of {bundle.name} does not say which frames calibrated its {name}',
            'their hashes', "run 'vla_nav quantize' again") from None
    return frozenset(hashes[at:at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
