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


@contextmanager
def no_printed_graph() -> Iterator[None]:
    """Keep torch's exporter from printing what it could not write: dozens of lines on stdout."""
    from torch import _C
    printed = getattr(_C, '_jit_onnx_log', None)  # it has no switch that holds
    _C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        _C._jit_onnx_log = printed
