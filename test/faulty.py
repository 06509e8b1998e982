"""Real backends that fail when they are told to, and policies that fall back on them."""

import numpy as np
from vla_nav_node.backends.onnx.onnx_backend import OnnxBackend
from vla_nav_node.driving.command_limits import ABSURD, CommandLimits
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.fallback import Chain, FallbackPolicy, Link
from vla_nav_node.policy.runtime_spec import Runtime


class Faulty(OnnxBackend):
    """ONNX Runtime, until it is told to fail."""

    fault = ''
    over = None  # an Event: ends a hang

    def infer(self, image, state):
        """Run the step, or do what `fault` says."""
        action, after = super().infer(image, state)
        if self.fault == 'hang':
            self.over.wait(30.0)
        if self.fault == 'raise':
            raise BackendError('the runtime has run out of memory')
        if self.fault == 'crash':
            raise ZeroDivisionError('nobody foresaw this')
        wrong = {'nan': np.nan, 'absurd': 1e9}.get(self.fault)
        return (action, after) if wrong is None else (np.full_like(action, wrong), after)


def start(bundle, backends):
    """Return a policy whose chain is sound."""
    for backend in backends:
        backend.fault = ''
    return of_chain(bundle, [Link(Runtime(name), backend)
                             for name, backend in zip(('tensorrt', 'onnx', 'torch'), backends)])


def of_chain(bundle, links):
    """Return a policy that drives by the first of some links."""
    gate = CommandLimits(0.8, 0.8, 100.0, absurd=ABSURD * 0.8)
    return FallbackPolicy(Chain(tuple(links), 0), bundle.zero_state(), gate.objection)
