"""
Which pictures an int8 was calibrated on, so that they are not what it is judged by.

quantize writes a short hash of each into policy.yaml. A picture taken just before or after one of
them is nearly the same one, and judges as little.
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
# Of the simulator's pictures: neither the seeds that a policy is trained on (from 1,000,000) nor
# those it is evaluated on (from 5000).
FIRST_SEED, SEEDS_APART = 3_000_000, 1000
SEED = 1  # of the simulator's pictures that calibrate; others judge
HASH_BYTES = 6  # of a frame: of 10,000 and 1,000 others some two are alike with odds of 4e-8
MOST_FRAMES = 10_000  # in a manifest
NEIGHBOURS = 15  # frames: half a second of a camera at 30 Hz
FEWEST = 30  # that have to be left, where some were taken out
T = TypeVar('T')


def noted(source: str, frames: np.ndarray) -> Dict[str, Any]:
    """Return what the manifest says of the frames that calibrated, uint8 [N, H, W, 3]."""
    seed = {'seed': SEED} if source == SIMULATOR else {}
    return {'frames': {'source': source, 'count': len(frames), **seed},
            'calibrated': base64.b64encode(b''.join(map(_hash, frames))).decode()}


def _hash(frame: np.ndarray) -> bytes:
    return hashlib.sha256(frame.tobytes()).digest()[:HASH_BYTES]


class Calibrated:
    """The pictures that calibrated what is to be judged, of none, one or several bundles."""

    def __init__(self, judged: Iterable[Tuple[Bundle, str]] = ()) -> None:
        """
        Take what is judged, (bundle, precision) each; only an int8 was calibrated.

        Raise SettingError where nobody has written down on what.
        """
        self._known: List[Tuple[Preprocess, FrozenSet[bytes]]] = []
        self._seeds: Set[int] = set()
        for bundle, precision in judged:
            if precision == 'int8':
                self._add(bundle)

    def _add(self, bundle: Bundle) -> None:
        for name, facts in _calibrations(bundle).items():
            text, frames = facts.get('calibrated'), facts.get('frames')
            if isinstance(frames, dict) and frames.get('source') == SIMULATOR:
                seed = frames.get('seed')
                self._seeds.add(seed if isinstance(seed, int) else SEED)
            elif text is None:
                raise _unknown(bundle, name)
            self._known.append((Preprocess(bundle.input), _read(bundle, name, text or '')))

    def refuse_seed(self, seed: int) -> None:
        """Raise SettingError for the episodes of the simulator that calibrated."""
        if seed in self._seeds:
            raise SettingError(f'the pictures of seed {seed} calibrated the int8', 'others',
                               'choose another --seed')

    def refuse_episodes(self, seeds: Sequence[int]) -> None:
        """Raise SettingError for episodes among which there are such."""
        for seed in self._seeds:
            first = FIRST_SEED + SEEDS_APART * seed
            if seeds[0] < first + SEEDS_APART and seeds[-1] >= first:
                raise SettingError(f'seeds {seeds[0]} to {seeds[-1]} calibrated the int8',
                                   f'none from {first} to {first + SEEDS_APART - 1}',
                                   'choose another --seed')

    def others(self, items: Iterable[T], source: str,
               picture_of: Callable[[T], Any] = lambda item: item) -> Generator[T, None, None]:
        """
        Give the items whose pictures did not calibrate, nor are neighbours of one that did.

        Raise SettingError at the end of the source if too few are left.
        """
        if not self._known:
            yield from items
            return
        waiting: Deque[T] = deque()  # neighbours of what may come
        quiet = read = calibrated = given = 0
        for item in items:
            read += 1
            if self._is_known(picture_of(item)):
                waiting.clear()
                calibrated, quiet = calibrated + 1, NEIGHBOURS
            elif quiet:
                quiet -= 1
            else:
                waiting.append(item)
                if len(waiting) > NEIGHBOURS:
                    given += 1
                    yield waiting.popleft()
        given += len(waiting)
        if calibrated and given < FEWEST:
            raise SettingError(
                f'{source} has {read} frames: {calibrated} of them calibrated the int8, and '
                f'{given} are neither these nor within {NEIGHBOURS} frames of one',
                f'at least {FEWEST} others', "record more, or run 'vla_nav quantize' with a lower "
                '--count')
        yield from waiting

    def _is_known(self, picture: np.ndarray) -> bool:
        return any(_hash(preprocess(picture)[0]) in known for preprocess, known in self._known)


NONE = Calibrated()


def _calibrations(bundle: Bundle) -> Dict[str, Dict[str, Any]]:
    """Return what quantize has written down of the int8 graphs, for the CPU and for TensorRT."""
    return {name: facts for name, facts in bundle.manifest.get('quantization', {}).items()
            if f'policy.{name}.onnx' in bundle.manifest['files'] and isinstance(facts, dict)}


def _read(bundle: Bundle, name: str, text: Any) -> FrozenSet[bytes]:
    try:
        hashes = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise _unknown(bundle, name) from None
    return frozenset(hashes[at:at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))


def _unknown(bundle: Bundle, name: str) -> SettingError:
    return SettingError(f'the policy.yaml of {bundle.name} does not say which frames calibrated '
                        f'its {name}', 'their hashes', "run 'vla_nav quantize' again")
