"""Keep a library's advice back."""

from contextlib import contextmanager
import logging
from typing import Iterator


@contextmanager
def silence() -> Iterator[None]:
    """Keep back what onnxruntime.quantization says each time: advice about larger graphs."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
