"""The tricks of a camera, right and wrong: each makes the messages of a turn."""

from dataclasses import dataclass
from typing import Callable, List, NamedTuple

import cv2
import numpy as np
from rig import HEIGHT, image_message, WIDTH
from sensor_msgs.msg import Image

from . import trap_policy as trap

MS = 1_000_000  # ns
HOUR = 3600 * 1000 * MS
ENCODINGS = {'rgb8': None, 'bgr8': cv2.COLOR_RGB2BGR, 'mono8': cv2.COLOR_RGB2GRAY,
             'bgra8': cv2.COLOR_RGB2BGRA}
SIZES = ((48, 64), (96, 128), (60, 80), (64, 64))
HOLD = 7  # turns before the next encoding or size; no divisor of the rate of the diagnostics
_HUGE: List[np.ndarray] = []  # made once, since that takes longer than a turn


class Shot(NamedTuple):
    """A message, and whether a robot may drive on it."""

    message: Image
    good: bool


@dataclass(frozen=True)
class Trick:
    """The messages of a turn, by the number of the turn and the camera's clock in ns."""

    shoot: Callable[[int, int], List[Shot]]
    rate: float = 50.0
    clock_ns: int = 0  # how far its clock, and with it /clock, is off
    clock_runs: bool = True  # whether /clock is published


def picture(number: int, marker: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return noise with a marker, uint8 [H, W, 3], different for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return trap.mark(noise, marker)


def shot(number: int, stamp_ns: int, marker: int, good: bool = False, **changes) -> List[Shot]:
    """Return one image; `changes` are fields of the message."""
    message = image_message(picture(number, marker), max(stamp_ns, 0), **changes)
    return [Shot(message, good)]


def _bad(later_ms: int = 0, **changes) -> Trick:
    """Send images that a robot may not drive on."""
    return Trick(lambda number, now_ns: shot(number, now_ns + later_ms * MS, trap.POISON,
                                             **changes))


def _policy(marker: int, good: bool = False) -> Trick:
    """Send sound images on which the policy fails."""
    return Trick(lambda number, now_ns: shot(number, now_ns, marker, good))


def _out_of_order(number: int, now_ns: int) -> List[Shot]:
    if number % 2:
        return shot(number, now_ns - 60 * MS, trap.POISON)
    return shot(number, now_ns, trap.GOOD, True)


def _third_corrupt(number: int, now_ns: int) -> List[Shot]:
    if number % 3 == 2:
        return _half(number, now_ns)
    return shot(number, now_ns, trap.GOOD, True)


def _half(number: int, now_ns: int) -> List[Shot]:
    whole, = shot(number, now_ns, trap.POISON)
    whole.message.data = whole.message.data[:len(whole.message.data) // 2]
    return [whole]


def _encodings(number: int, now_ns: int) -> List[Shot]:
    encoding = list(ENCODINGS)[number // HOLD % len(ENCODINGS)]
    pixels = picture(number, trap.GOOD)
    if ENCODINGS[encoding] is not None:
        pixels = cv2.cvtColor(pixels, ENCODINGS[encoding])
    message = image_message(pixels, now_ns, encoding=encoding,
                            step=pixels.size // pixels.shape[0])
    return [Shot(message, True)]


def _sizes(number: int, now_ns: int) -> List[Shot]:
    size = SIZES[number // HOLD % len(SIZES)]
    return [Shot(image_message(picture(number, trap.GOOD, *size), now_ns), True)]


def _huge(number: int, now_ns: int) -> List[Shot]:
    if not _HUGE:
        _HUGE.append(picture(0, trap.GOOD, 4320, 7680))
    _HUGE[0][-1, -1] = number % 256
    return [Shot(image_message(_HUGE[0], now_ns), True)]


def _covered(number: int, now_ns: int) -> List[Shot]:
    dark = np.random.default_rng(number).integers(0, 3, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return [Shot(image_message(dark, now_ns), False)]


TRICKS = {
    'good': _policy(trap.GOOD, True),
    'stop': Trick(lambda number, now_ns: []),
    'freeze': Trick(lambda number, now_ns: shot(0, now_ns, trap.GOOD, True)),
    'two in turn': Trick(lambda number, now_ns: shot(number % 2, now_ns, trap.GOOD, True)),
    'covered': Trick(_covered),
    'rare': Trick(lambda number, now_ns: shot(number, now_ns, trap.POISON), rate=0.8),
    'other pixels': _bad(encoding='mono8', step=WIDTH),
    'backwards': Trick(lambda number, now_ns: shot(number, now_ns - (30 + 25 * number) * MS,
                                                   trap.POISON)),
    'future': _bad(later_ms=500),
    'late': _bad(later_ms=-500),
    'no stamp': Trick(lambda number, now_ns: shot(number, 0, trap.POISON)),
    'out of order': Trick(_out_of_order),
    'third corrupt': Trick(_third_corrupt),
    'encoding': _bad(encoding='32FC1'),
    'size': _bad(height=4000),
    'step': _bad(step=10),
    'half': Trick(_half),
    'empty': _bad(data=[]),
    '8K': Trick(_huge, rate=2.0),
    'encodings': Trick(_encodings),
    'sizes': Trick(_sizes),
    'not a number': _policy(trap.NOT_A_NUMBER),
    'infinite': _policy(trap.INFINITE),
    'absurd': _policy(trap.ABSURD),
    'raise': _policy(trap.RAISE),
    'memory': _policy(trap.MEMORY),
    'slow': _policy(trap.SLOW, True),
    'too late': _policy(trap.LATE),
    'hang': _policy(trap.HANG),
    'clock ahead': Trick(lambda number, now_ns: shot(number, now_ns, trap.GOOD, True),
                         clock_ns=HOUR),
    'clock stops': Trick(lambda number, now_ns: shot(number, now_ns, trap.GOOD, number < 10),
                         clock_runs=False),
}
