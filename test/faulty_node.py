"""
The node with a policy runtime that fails as a file says.

The file has the name of the fault, then the numbers of the opened backends that fail, by default
all: 'raise 0' makes the first one raise.
"""

import os
from pathlib import Path
import sys
from threading import current_thread
import time

import numpy as np

from vla_nav_node.backends.onnx import onnx_backend
from vla_nav_node.backends.onnx.onnx_backend import OnnxBackend
from vla_nav_node.errors import BackendError
from vla_nav_node.node import main

FAULT = Path(os.environ['FAULT_FILE'])


class FaultyBackend(OnnxBackend):
    """ONNX Runtime, until the fault file says otherwise."""

    opened = 0

    def __init__(self, *request):
        """Open the backend, and number it."""
        super().__init__(*request)
        self.number = FaultyBackend.opened
        FaultyBackend.opened += 1

    def _fault(self):
        if not FAULT.exists():
            return ''
        fault, *numbers = FAULT.read_text().split()
        return fault if not numbers or str(self.number) in numbers else ''

    def infer(self, image, state):
        """Run the step, or do what the file says."""
        fault = self._fault()
        action, after = super().infer(image, state)
        if fault == 'hang':
            while FAULT.exists():
                time.sleep(0.01)
        if fault == 'raise' or (fault == 'drive' and current_thread().name == 'driving'):
            raise BackendError('the runtime has run out of memory')
        if fault == 'crash':
            raise ZeroDivisionError('unforeseen')
        if fault == 'nan':
            return np.full_like(action, np.nan), tuple(np.full_like(s, np.nan) for s in after)
        if fault == 'different':
            return action + 0.1, after
        return action, after


if __name__ == '__main__':
    onnx_backend.OnnxBackend = FaultyBackend
    sys.exit(main.main())
