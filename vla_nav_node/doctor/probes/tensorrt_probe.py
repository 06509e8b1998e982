"""Start TensorRT, or its lean or dispatch runtime, and tell what it says."""

from importlib import util
import sys
from typing import Any, List

from .telling import answer, parts, Tell
from ...backends.tensorrt.tensorrt_library import (
    cuda_major, errors_since, import_tensorrt, log_of, try_create)

_kept: List[Any] = []  # a runtime without a driver crashes when it is released (11.4)
PACKAGES = ('tensorrt', 'tensorrt_lean', 'tensorrt_dispatch')


def look(tell: Tell) -> None:
    """Tell the version, and the error of creating a runtime with what TensorRT logged of it."""
    name = next((name for name in PACKAGES if util.find_spec(name)), '')
    tell(package=name, cuda=cuda_major(), step=f'import {name}')
    trt = import_tensorrt(name=name)
    tell(version=trt.__version__, step='creating a runtime')
    created, error = try_create(trt, trt.Runtime, 'TensorRT cannot start')
    tell(logged=errors_since(log_of(trt), 0)[:3], **({'start': parts(error)} if error else {}))
    _kept.append(created)


if __name__ == '__main__':
    answer(look, sys.argv[1:])
