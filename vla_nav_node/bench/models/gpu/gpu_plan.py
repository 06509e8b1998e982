"""The rows of a GPU: every backend in every precision, and every way in which it can run."""

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Sequence

from ..benchmark.benchmark_plan import absence, Entry, Plan
from ..runners.contestant import Contestant
from ....backends.options import BackendOptions, DEFAULTS
from ....bundle.bundle import Bundle

GRAPH, EAGER = 'cuda_graph', 'eager'
TENSORRT = 'tensorrt'  # the backend, and a provider of onnx
MODE_OF = {'torch': 'torch_mode', 'onnx': 'onnx_provider'}  # the option that a mode is a value of


class Kind(NamedTuple):
    """A row to be."""

    backend: str
    precision: str
    mode: str = ''  # of running it, where there are several

    @property
    def label(self) -> str:
        """Name it in tables."""
        return ' '.join(filter(None, self))

    @property
    def builds(self) -> bool:
        """Tell whether it times kernels while it opens, and so has to be alone."""
        return TENSORRT in (self.backend, self.mode)

    @property
    def options(self) -> BackendOptions:
        """Return what makes the backend run in this way."""
        option: Dict[str, Any] = {MODE_OF[self.backend]: self.mode} if self.mode else {}
        return replace(DEFAULTS, **option)


# In this order they are opened: what the targets need comes first, in case the time runs out.
KINDS = (
    Kind(TENSORRT, 'fp16'),
    Kind('torch', 'fp32', EAGER), Kind('torch', 'fp16', EAGER),
    Kind('torch', 'fp16', GRAPH), Kind('torch', 'fp32', GRAPH),
    Kind('onnx', 'fp16'), Kind('onnx', 'fp32'), Kind('onnx', 'int8'),
    Kind(TENSORRT, 'fp32'), Kind(TENSORRT, 'int8'),
    Kind('onnx', 'fp16', TENSORRT), Kind('onnx', 'fp32', TENSORRT),
    Kind('torch', 'fp16', 'script'), Kind('torch', 'fp32', 'script'),
    Kind('torch', 'fp16', 'compile'), Kind('torch', 'fp32', 'compile'))
BY_LABEL = {kind.label: kind for kind in KINDS}
MODES = tuple(dict.fromkeys(kind.mode for kind in KINDS if kind.mode))


class Wanted(NamedTuple):
    """What a user wants to have measured."""

    backends: Sequence[str]
    precisions: Sequence[str]
    modes: Sequence[str]
    device: str

    def includes(self, kind: Kind) -> bool:
        """Tell whether this is among it."""
        return (kind.backend in self.backends and kind.precision in self.precisions
                and kind.mode in ('', *self.modes))


def plan_rows(policy: str, bundle: Bundle, wanted: Wanted) -> Plan:
    """List what there is to open, and what there cannot be with the reason."""
    entries: List[Entry] = []
    absent: Dict[str, str] = {}
    for kind in filter(wanted.includes, KINDS):
        reason = absence(bundle, kind.backend, kind.precision)
        if reason:
            absent[kind.label] = reason
        else:
            entries.append(Entry(kind.label, (Contestant(
                kind.label, 'bundle', bundle.directory, kind.precision, kind.backend,
                wanted.device, options=kind.options),)))
    return Plan(policy, bundle, entries, absent)


def batches(entries: Sequence[Entry]) -> List[List[Entry]]:
    """Put together what may open beside each other, in the order of the entries."""
    found: List[List[Entry]] = []
    for entry in entries:
        alone = BY_LABEL[entry.label].builds
        if not found or alone or BY_LABEL[found[-1][0].label].builds:
            found.append([])
        found[-1].append(entry)
    return found
