"""Settings of all tests."""

from contextlib import suppress
import os
from pathlib import Path
import signal
import sys

# Before ONNX Runtime: behind it, setuptools 84 cannot replace Python's own distutils.
with suppress(ImportError):
    import setuptools  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent))  # helpers of several tests: rig, tiny, ...

# MuJoCo reads this when it is imported, which some tests do first; `make test` has chosen already,
# `colcon test` has not.
os.environ.setdefault('MUJOCO_GL', 'egl')
# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Nor may they ignore what nohup ignores.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
