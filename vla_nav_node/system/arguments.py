"""Types of command-line arguments that several verbs share."""

import argparse
import re
from typing import Tuple

SIZE = re.compile('([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})')


def picture_size(text: str) -> Tuple[int, int]:
    """Parse WxH, such as 640x480, to width and height in pixels; a type for argparse."""
    found = SIZE.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(
            f'found {text!r}, expected a width and a height in pixels, such as 640x480')
    return int(found[1]), int(found[2])
