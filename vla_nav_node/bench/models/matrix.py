"""The rows of a policy: its backends, precisions, ways to run, devices and threads."""

from dataclasses import dataclass, replace
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .candidate import Candidate, recipe_of
from ...backends import BACKENDS, is_installed
from ...backends.options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle, WEIGHTS
from ...bundle.verdicts import files_read
from ...errors import SettingError

ONE_SHOT = 'one-shot export'
GRAPH, EAGER = 'cuda_graph', 'eager'
TENSORRT = 'tensorrt'  # the backend, and a provider of onnx
BOOLEANS = {'true': True, 'false': False}
MODE_OF = {'torch': 'torch_mode', 'onnx': 'onnx_provider'}  # the backend's option of that name


class Kind(NamedTuple):
    """What a row runs on, for any policy."""

    backend: str
    precision: str
    mode: str = ''  # of the backend; empty for its default

    @property
    def label(self) -> str:
        """Return its name in tables."""
        return ' '.join(filter(None, self))

    @property
    def builds(self) -> bool:
        """Return whether it times kernels while it opens, so that nothing may run beside it."""
        return TENSORRT in (self.backend, self.mode)

    @property
    def options(self) -> BackendOptions:
        """Return the backend's options."""
        option: Dict[str, Any] = {MODE_OF[self.backend]: self.mode} if self.mode else {}
        return replace(DEFAULTS, **option)


# In the order of opening: what the targets need comes first, in case the time runs out.
GPU_KINDS = (
    Kind(TENSORRT, 'fp16'),
    Kind('torch', 'fp32', EAGER), Kind('torch', 'fp16', EAGER),
    Kind('torch', 'fp16', GRAPH), Kind('torch', 'fp32', GRAPH),
    Kind('onnx', 'fp16'), Kind('onnx', 'fp32'), Kind('onnx', 'int8'),
    Kind(TENSORRT, 'fp32'), Kind(TENSORRT, 'int8'),
    Kind('onnx', 'fp16', TENSORRT), Kind('onnx', 'fp32', TENSORRT),
    Kind('torch', 'fp16', 'script'), Kind('torch', 'fp32', 'script'),
    Kind('torch', 'fp16', 'compile'), Kind('torch', 'fp32', 'compile'))
MODES = tuple(dict.fromkeys(kind.mode for kind in GPU_KINDS if kind.mode))


def gpu_kinds(backends: Sequence[str], precisions: Sequence[str],
              modes: Sequence[str]) -> List[Kind]:
    """Return the rows of a GPU that are asked for."""
    return [kind for kind in GPU_KINDS if kind.backend in backends
            and kind.precision in precisions and kind.mode in ('', *modes)]


def all_kinds(precisions: Sequence[str], torch_modes: Sequence[str] = ('auto',)) -> List[Kind]:
    """Return every backend in each of the precisions, torch also in each mode."""
    return [Kind(backend, precision, '' if mode == 'auto' else mode)
            for backend in BACKENDS for precision in precisions
            for mode in (torch_modes if backend == 'torch' else ['auto'])]


@dataclass(frozen=True)
class Plan:
    """
    The rows of one policy, named by their candidates, and those that it cannot have and why.

    The candidates of a batch open together. Candidates of one name differ in the number of threads
    only, and the fastest becomes the row.
    """

    policy: str
    bundle: Bundle
    batches: List[List[Candidate]]
    absent: Dict[str, str]


def plan_rows(policy: str, bundle: Bundle, kinds: Sequence[Kind], device: str,
              quick: bool = False) -> Plan:
    """
    Return a row for each kind, or the reason why there is none.

    `quick` opens rows together where that is possible, and tries no numbers of threads.
    """
    plan, joined = Plan(policy, bundle, [], {}), False
    for kind in kinds:
        reason = absence(bundle, kind)
        if reason:
            plan.absent[kind.label] = reason
            continue
        candidate = Candidate(kind.label, 'bundle', bundle.directory, kind.precision,
                              kind.backend, device, options=kind.options)
        if not quick:
            plan.batches.extend(_on_threads(candidate, thread_counts(kind)))
        elif joined and not kind.builds:
            plan.batches[-1].append(candidate)
        else:
            plan.batches.append([candidate])
        joined = not kind.builds
    return plan


def add_variants(plan: Plan, specs: Sequence[str]) -> None:
    """Add the rows of onnx with other options, as 'huge_pages=false,rehearsal_ms=0'."""
    plain = [each for batch in plan.batches for each in batch if each.backend == 'onnx']
    for spec in specs:
        values = read_options(spec)
        lead_ms = values.pop('rehearsal_ms', None)
        for candidate in plain:
            plan.batches.append([replace(
                candidate, name=f'{candidate.name} {spec}',
                options=replace(candidate.options, **values),
                rehearsal_ms=candidate.rehearsal_ms if lead_ms is None else lead_ms)])


def read_options(spec: str) -> Dict[str, Any]:
    """Return options of the node by name, or raise SettingError for a name or a value."""
    types: Dict[str, Any] = {name: type(value) for name, value in vars(DEFAULTS).items()}
    types['rehearsal_ms'] = float
    values: Dict[str, Any] = {}
    for part in spec.split(','):
        name, _, text = part.partition('=')
        if name not in types:
            raise SettingError(f'--also {spec}: no option {name!r}', ', '.join(types))
        try:
            values[name] = BOOLEANS[text] if types[name] is bool else types[name](text)
        except (KeyError, ValueError):
            raise SettingError(f'--also {spec}: {name} is {text!r}',
                               f'a value such as {getattr(DEFAULTS, name, 4.0)}') from None
    replace(DEFAULTS, **{key: value for key, value in values.items() if key != 'rehearsal_ms'})
    return values


def _on_threads(candidate: Candidate, counts: Sequence[int]) -> List[List[Candidate]]:
    return [[replace(candidate, threads=count)] for count in counts]


def add_one_shot(plan: Plan, device: str, folder: Path) -> None:
    """Add the export that people usually make, written to `folder` from the bundle's weights."""
    if WEIGHTS not in plan.bundle.manifest['files']:
        plan.absent[ONE_SHOT] = f'the bundle has no {WEIGHTS}'
        return
    from ...backends.torch.network import load_network
    from ...convert.export.step_graph import export_one_shot
    bundle, path = plan.bundle, folder / f'{Path(plan.policy).name}.one_shot.onnx'
    export_one_shot(load_network(bundle.file(WEIGHTS), bundle.architecture, bundle.mean,
                                 bundle.std), path, bundle.input)
    candidate = Candidate(ONE_SHOT, 'onnx', path, device=device, recipe=recipe_of(bundle))
    plan.batches.extend(_on_threads(candidate, (0, 1)))


def absence(bundle: Bundle, kind: Kind) -> str:
    """Return why a bundle has no such row; empty when it has."""
    if not is_installed(kind.backend):
        return f'the Python package {BACKENDS[kind.backend].package} is not installed'
    name, = files_read(bundle, kind.backend, kind.precision)
    if name not in bundle.manifest['files']:
        return f'the bundle has no {name}'
    return 'torch has no int8 here' if (kind.backend, kind.precision) == ('torch', 'int8') else ''


def thread_counts(kind: Kind) -> Tuple[int, ...]:
    """
    Return the numbers of threads to try; 0 for the backend's own choice.

    torch is tried on 1, 2, 4 and so on up to all cores that we may use, since the others are
    compared with it at its best. The other backends have chosen already, and compiled code is for
    the number of threads that it was compiled with.
    """
    if kind.backend != 'torch' or kind.mode == 'compile':
        return (0,)
    cores = len(os.sched_getaffinity(0))
    powers = (1 << power for power in range(cores.bit_length()))
    return tuple(sorted({*(threads for threads in powers if threads <= cores), cores}))


def device_of(row: Mapping[str, Any]) -> str:
    """
    Return cpu or cuda of a measured row: times compare only on the same device.

    torch adds the GPU's name and ONNX Runtime does not; both take the first GPU.
    """
    return str(row['device']).split()[0]
