"""Real backends that fail on demand, and fallback policies that use them."""

import time

import numpy as np
from vla_nav_node.backends.onnx.onnx_backend import OnnxBackend
from vla_nav_node.driving.command_limits import ABSURD_FACTOR, ActionCheck
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.fallback import FallbackPolicy
from vla_nav_node.policy.runtimes import Chain, Link, Runtime
from vla_nav_node.types import Frame


class Faulty(OnnxBackend):
    """ONNX Runtime with an injected fault."""

    fault = ''
    over = None  # an Event that ends a hang

    def infer(self, image, state):
        """Run the step with `fault`."""
        action, after = super().infer(image, state)
        if self.fault == 'hang':
            self.over.wait(30.0)
        if self.fault == 'raise':
            raise BackendError('the runtime has run out of memory')
        if self.fault == 'crash':
            raise ZeroDivisionError('an unforeseen error')
        wrong = {'nan': np.nan, 'absurd': 1e9}.get(self.fault)
        return (action, after) if wrong is None else (np.full_like(action, wrong), after)


def frame(seed, **changes):
    """Return a random rgb8 frame of 64x48 pixels, taken and received now."""
    data = np.random.default_rng(seed).integers(0, 256, 48 * 64 * 3, np.uint8).tobytes()
    return Frame(**{'data': memoryview(data), 'encoding': 'rgb8', 'height': 48, 'width': 64,
                    'step': 192, 'stamp_ns': time.time_ns(),
                    'received_ns': time.perf_counter_ns(), **changes})


def start(bundle, backends):
    """Return a policy on backends without a fault."""
    for backend in backends:
        backend.fault = ''
    return of_chain(bundle, [Link(Runtime(name), backend)
                             for name, backend in zip(('tensorrt', 'onnx', 'torch'), backends)])


def of_chain(bundle, links):
    """Return a policy that drives by the first link."""
    return FallbackPolicy(Chain(tuple(links), 0), bundle.zero_state(),
                          ActionCheck(ABSURD_FACTOR * 0.8).problem)
