"""Where and in which type the nodes of a session really run, read from ONNX Runtime's profile."""

from collections import Counter
import json
from pathlib import Path
import re
from types import ModuleType
from typing import Any, Collection, List, Mapping, NamedTuple, Sequence, Tuple

from .onnx_session import (
    CPU, LeftToCpu, open_session, Provider, provider_name, run_on_zeros, TENSORRT,
    without_cuda_graph)
from ..tensorrt.engine_layers import precision_problem, ProductPrecisions
from ...errors import BackendError

RUN = '_kernel_time'  # what a profile adds to a node's name for each of its runs
TYPES = {'float': 'fp32', 'float16': 'fp16', 'bfloat16': 'bf16', 'double': 'fp64',
         'uint8': 'int8', 'int8': 'int8'}
# Nodes that multiply by weights, whatever they were fused with: Conv, NhwcFusedConv, QLinearConv,
# FusedGemm, DynamicQuantizeMatMul, MatMulIntegerToFloat, ...
PRODUCT = re.compile('Conv(?!ert)|Gemm|MatMul')
# A profile omits their weights once they are packed, so the operator's name has to show the type.
INTEGER = re.compile('Integer|Quantize|^Q(?!uick)')
# For blocks of 4 or 8 bits not even that; our own graphs put it into the node's name.
FOUR_BIT, EIGHT_BITS = re.compile('NBits|Bnb4|FpQ4'), '.8bits'
MAX_NAMED = 5


class Node(NamedTuple):
    """A node of the optimised graph."""

    name: str
    number: str  # several nodes may have one name
    operator: str  # such as MatMul
    provider: str  # that ran it
    types: Tuple[str, ...]  # of its inputs, in the runtime's words

    def __str__(self) -> str:
        return f'{self.name} ({self.operator})'


class Placement(NamedTuple):
    """The nodes of a session that ran."""

    nodes: List[Node]
    runs: int  # of the node that ran most often; replays of a CUDA graph do not count

    def precisions(self) -> ProductPrecisions:
        """Count the products by the type in which they multiply."""
        products: 'Counter[str]' = Counter()
        opaque = 0
        for node in self.nodes:
            if node.provider == TENSORRT:
                opaque += 1  # a whole subgraph
            elif PRODUCT.search(node.operator):
                products[_multiplies_in(node)] += 1
        return ProductPrecisions(dict(products), opaque,
                                 len(self.nodes) - opaque - products.total())


class NoProfile(BackendError):
    """There is no profile to read."""


def open_profiled(ort: ModuleType, path: Path, providers: Sequence[Provider],
                  scratch: Path) -> Any:
    """
    Open a graph on providers, with a profile in `scratch` for read_placement.

    Raise BackendError with the names of nodes that are left to a CPU not among the providers.
    """
    strict = CPU not in map(provider_name, providers)
    try:
        return open_session(ort, path, *providers, strict=strict, profile=scratch / 'proof')
    except LeftToCpu:
        # It names no node. A session that may use the CPU does, without a CUDA graph.
        lax = open_session(ort, path, *map(without_cuda_graph, providers),
                           profile=scratch / 'names')
        run_on_zeros(lax)
        check_placement(read_placement(lax), [provider_name(provider) for provider in providers])
        raise


def read_placement(session: Any) -> Placement:
    """End the profile of a session that has run; read and remove the file, or raise NoProfile."""
    path = Path(session.end_profiling())
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
        path.unlink()
    except OSError as error:
        raise NoProfile(
            f'ONNX Runtime wrote no profile, which is to show what runs where ({error.strerror})',
            f'room for a small file in {path.parent}', 'free some, or set TMPDIR') from None
    return parse_profile(text)


def parse_profile(text: str) -> Placement:
    """Parse a profile (a Chrome trace); raise NoProfile if it has no nodes."""
    try:
        events = json.loads(text)
    except (ValueError, RecursionError):
        events = None
    runs = [event for event in events if _is_run(event)] if isinstance(events, list) else []
    if not runs:
        raise NoProfile("ONNX Runtime's profile does not tell where the nodes ran",
                        'a run of at least one node, and room on the disk')
    counts = Counter(map(_node, runs))
    return Placement(list(counts), max(counts.values()))


def check_placement(placement: Placement, allowed: Collection[str]) -> None:
    """
    Raise BackendError with the names of nodes that ran on other than the `allowed` providers.

    Nodes that only compute shapes are no exception, though ONNX Runtime likes to leave them to
    the CPU: a step has fixed shapes, so they are computed when the session is opened. Nor are
    copies between host and device (Memcpy): inputs and outputs are on the device.
    """
    names = [f'{node} on {node.provider or "an unknown provider"}' for node in placement.nodes
             if node.provider not in allowed or (CPU not in allowed and 'Memcpy' in node.operator)]
    if names:
        more = f' and {len(names) - MAX_NAMED} more' if len(names) > MAX_NAMED else ''
        raise BackendError(
            'not all of the graph runs where it should: ' + ', '.join(names[:MAX_NAMED]) + more,
            'every node on ' + ' or '.join(allowed),
            'set precision to fp16 or fp32 (the int8 graph is for CPUs), or device to cpu')


def check_precision(found: ProductPrecisions, precision: str, on_cpu: bool) -> None:
    """
    Raise BackendError if the products of a graph are in another precision.

    fp16 on a CPU is exempt: ONNX Runtime has few kernels for it there and widens the rest to fp32.
    That costs time and no quality, lets the graph be verified without a GPU, and shows in
    `BackendInfo.layers`.
    """
    if on_cpu and precision == 'fp16':
        return
    problem = precision_problem(found, precision, {})
    if problem:
        raise BackendError(f'the graph is not what its precision says: {problem}',
                           f'products in {precision}', 'export or quantise the bundle again')


def _multiplies_in(node: Node) -> str:
    if FOUR_BIT.search(node.operator):
        return 'int8' if node.name.endswith(EIGHT_BITS) else 'int4'
    if INTEGER.search(node.operator):
        return 'int8'
    return TYPES.get(node.types[0], '') if node.types else ''


def _is_run(event: Any) -> bool:
    return (isinstance(event, dict) and event.get('cat') == 'Node'
            and isinstance(event.get('name'), str) and event['name'].endswith(RUN)
            and isinstance(event.get('args'), dict))


def _node(event: Mapping[str, Any]) -> Node:
    args = event['args']
    number, operator, provider = (str(args.get(key, ''))
                                  for key in ('node_index', 'op_name', 'provider'))
    tensors = args.get('input_type_shape')  # [{"float": [1, 2]}, ...]
    types = tuple(str(kind) for tensor in (tensors if isinstance(tensors, list) else ())
                  if isinstance(tensor, dict) for kind in tensor)
    return Node(event['name'][:-len(RUN)], number, operator, provider, types)
