"""Where and in which type the nodes of a session really run, as ONNX Runtime's profile tells."""

from collections import Counter
import json
from pathlib import Path
import re
from types import ModuleType
from typing import Any, Collection, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from .onnx_session import (
    CPU, described, is_of_runtime, LeftToCpu, open_session, problem_of_run, Provider, TENSORRT)
from ..tensorrt.engine_layers import Precision, problem_of
from ...errors import BackendError

RUN = '_kernel_time'  # what a profile adds to the name of a node for each of its runs
TYPES = {'float': 'fp32', 'float16': 'fp16', 'bfloat16': 'bf16', 'double': 'fp64',
         'uint8': 'int8', 'int8': 'int8'}
# Nodes that multiply by weights, whatever they were fused with: Conv, NhwcFusedConv, QLinearConv,
# FusedGemm, DynamicQuantizeMatMul, MatMulIntegerToFloat, ...
PRODUCT = re.compile('Conv(?!ert)|Gemm|MatMul')
# Their weights are missing in a profile once they are packed, so that the name has to tell.
INTEGER = re.compile('Integer|Quantize|^Q(?!uick)')
# Of blocks with 4 or 8 bits not even that: our own graphs tell it in the name of the node.
FOUR_BIT, EIGHT_BITS = re.compile('NBits|Bnb4|FpQ4'), '.8bits'
MOST_TOLD = 5


class Node(NamedTuple):
    """One node of the optimised graph."""

    name: str
    number: str  # two nodes may have one name
    kind: str  # such as MatMul
    provider: str  # that ran it
    types: Tuple[str, ...]  # of its inputs, in the runtime's words

    def __str__(self) -> str:
        """Return its name and its kind."""
        return f'{self.name} ({self.kind})'


class Placement(NamedTuple):
    """The nodes of a session that ran, and how often they did."""

    nodes: List[Node]
    runs: int  # of the node that ran most often; replays of a CUDA graph do not count

    def precision(self) -> Precision:
        """Count the nodes by the type in which they multiply."""
        products: 'Counter[str]' = Counter()
        opaque = 0
        for node in self.nodes:
            if node.provider == TENSORRT:
                opaque += 1  # a whole subgraph
            elif PRODUCT.search(node.kind):
                products[_runs_in(node)] += 1
        return Precision(dict(products), opaque, len(self.nodes) - opaque - products.total())


class NoProfile(BackendError):
    """There is no profile to read."""


def open_proven(ort: ModuleType, path: Path, providers: Sequence[Provider],
                scratch: Path) -> Any:
    """
    Open a graph on providers, with a profile in `scratch` to be taken.

    Raise BackendError, with names, if any of its nodes is left to a CPU that is not among them.
    """
    strict = CPU not in map(name_of, providers)
    try:
        return open_session(ort, path, *providers, strict=strict, profile=scratch / 'proof')
    except LeftToCpu:
        # It does not say which: ask a session that may, and wants no CUDA graph of it.
        lax = open_session(ort, path, *map(without_graph, providers), profile=scratch / 'names')
        run_once(lax)
        refuse_elsewhere(take(lax), [name_of(provider) for provider in providers])
        raise


def run_once(session: Any) -> None:
    """Run a session on zeros, for its profile."""
    feed = {name: np.zeros(shape, dtype)
            for name, (dtype, shape) in described(session.get_inputs()).items()}
    try:
        session.run(None, feed)
    except Exception as error:
        if not is_of_runtime(error):
            raise
        raise problem_of_run(error) from error


def without_graph(provider: Provider) -> Provider:
    """Return a provider as it is, but for its CUDA graph."""
    if isinstance(provider, str):
        return provider
    name, options = provider
    return name, {key: value for key, value in options.items() if key != 'enable_cuda_graph'}


def name_of(provider: Provider) -> str:
    """Return a provider without its options."""
    return provider if isinstance(provider, str) else provider[0]


def take(session: Any) -> Placement:
    """End the profile of a session that was opened with one and has run; read and remove it."""
    path = Path(session.end_profiling())
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
        path.unlink()
    except OSError as error:
        raise NoProfile(
            f'ONNX Runtime wrote no profile, which is to show what runs where ({error.strerror})',
            f'room for a small file in {path.parent}', 'free some, or set TMPDIR') from None
    return read_profile(text)


def read_profile(text: str) -> Placement:
    """Read a profile (a Chrome trace), or raise NoProfile if it tells nothing of the nodes."""
    try:
        events = json.loads(text)
    except (ValueError, RecursionError):
        events = None
    runs = [event for event in events if _is_run(event)] if isinstance(events, list) else []
    if not runs:
        raise NoProfile("ONNX Runtime's profile does not tell where the nodes ran",
                        'a run of at least one node, and room on the disk')
    found = Counter(map(_node, runs))
    return Placement(list(found), max(found.values()))


def refuse_elsewhere(found: Placement, allowed: Collection[str]) -> None:
    """
    Raise BackendError with the names of nodes that ran on other than the `allowed` providers.

    There is no exception for nodes that only work out shapes, which ONNX Runtime likes to leave to
    the CPU: a step has fixed shapes, so all of them are computed when the session is opened. A
    copy between host and device (Memcpy) in the middle of a graph is one of those nodes too:
    inputs and outputs are on the device.
    """
    names = [f'{node} on {node.provider or "an unknown provider"}' for node in found.nodes
             if node.provider not in allowed or (CPU not in allowed and 'Memcpy' in node.kind)]
    if names:
        more = f' and {len(names) - MOST_TOLD} more' if len(names) > MOST_TOLD else ''
        raise BackendError(
            'not all of the graph runs where it is to: ' + ', '.join(names[:MOST_TOLD]) + more,
            'every node on ' + ' or '.join(allowed),
            'set precision to fp16 or fp32 (the int8 graph is for CPUs), or device to cpu')


def refuse_untrue(found: Precision, precision: str, on_cpu: bool) -> None:
    """
    Raise BackendError for a precision that is another one inside.

    Except for fp16 on a CPU: ONNX Runtime has few kernels for it there and widens the rest to
    fp32. That costs time and no quality, and lets the graph be verified where there is no GPU;
    `BackendInfo.layers` tells it.
    """
    if on_cpu and precision == 'fp16':
        return
    problem = problem_of(found, precision, {})
    if problem:
        raise BackendError(f'the graph is not what its precision says: {problem}',
                           f'products in {precision}', 'export or quantise the bundle again')


def _runs_in(node: Node) -> str:
    if FOUR_BIT.search(node.kind):
        return 'int8' if node.name.endswith(EIGHT_BITS) else 'int4'
    if INTEGER.search(node.kind):
        return 'int8'
    return TYPES.get(node.types[0], '') if node.types else ''


def _is_run(event: Any) -> bool:
    return (isinstance(event, dict) and event.get('cat') == 'Node'
            and isinstance(event.get('name'), str) and event['name'].endswith(RUN)
            and isinstance(event.get('args'), dict))


def _node(event: Mapping[str, Any]) -> Node:
    args = event['args']
    number, kind, provider = (str(args.get(key, '')) for key in ('node_index', 'op_name',
                                                                 'provider'))
    return Node(event['name'][:-len(RUN)], number, kind, provider,
                tuple(_types(args.get('input_type_shape'))))


def _types(listed: Any) -> Iterable[str]:
    """Return the types of [{"float": [1, 2]}, ...]."""
    for tensor in listed if isinstance(listed, list) else []:
        if isinstance(tensor, dict):
            yield from map(str, tensor)
