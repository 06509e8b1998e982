"""The search space as data: what is tried where, what it costs, and what is left out and why."""

from dataclasses import dataclass, field
import re
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from .trial import REHEARSAL, Value
from ...backends.options import ONNX, TENSORRT, TORCH

CORES = 'cores'  # stands for the number of cores
POWERS = '1, 2, 4, ... cores'  # stands for those numbers
MEASURED, DOCUMENT, NEVER = 'measured', 'from the document', 'never seen'
SEVERAL: Mapping[str, Value] = {'intra_op_num_threads': CORES}
SPINNING: Mapping[str, Value] = {**SEVERAL, 'intra_op_allow_spinning': True}
TF32_FROM = 8.0  # compute capability


class Place(NamedTuple):
    """What decides whether a row matters: the runtime, and the machine that runs it."""

    backend: str
    precision: str
    device: str  # cpu, cuda
    cores: int
    version: str  # of the runtime's library
    threads: int = 1  # that it takes by default
    rehearses: bool = False  # whether the node does, with this file
    capability: float = 0.0  # of the GPU


@dataclass(frozen=True)
class Row:
    """An option: the values to try beside the default, and where they can matter."""

    name: str  # of the node's parameter
    values: Union[str, Tuple[Value, ...]]
    backends: Tuple[str, ...]
    device: str
    costs: str
    seen: str
    quick: int = 0  # how many of the values --quick tries
    beside: Mapping[str, Value] = field(default_factory=dict)  # set together with it
    since: str = ''  # version of the library
    least: float = 0.0  # compute capability


SPACE = (
    Row(REHEARSAL, (0.0, 2.0, 8.0), TORCH + ONNX, 'cpu', 'a second run in every period',
        MEASURED, 3),
    Row('intra_op_num_threads', POWERS, ONNX, 'cpu', 'cores that the robot needs', MEASURED, 1),
    Row('intra_op_allow_spinning', (True,), ONNX, 'cpu', 'burns those cores within a step',
        MEASURED, 1, SEVERAL),
    Row('graph_optimization_level', ('ORT_ENABLE_EXTENDED', 'ORT_ENABLE_BASIC',
        'ORT_DISABLE_ALL'), ONNX, 'cpu', 'may round otherwise', MEASURED, 1),
    Row('set_denormal_as_zero', (True,), ONNX, 'cpu', 'may change results', MEASURED, 1),
    Row('enable_mem_pattern', (False,), ONNX, 'cpu', 'nothing', MEASURED, 1),
    Row('enable_cpu_mem_arena', (False,), ONNX, 'cpu', 'memory is asked for in every step',
        MEASURED, 1),
    Row('huge_pages', (False,), ONNX + TORCH, 'cpu', 'nothing; true may take some MB', MEASURED),
    Row('dynamic_block_base', (4,), ONNX, 'cpu', 'needs several threads', MEASURED, 0, SEVERAL),
    Row('intra_op_spin_duration_us', (100, 1000), ONNX, 'cpu', 'needs spinning', MEASURED, 0,
        SPINNING, since='1.32'),
    Row('execution_mode', ('ORT_PARALLEL',), ONNX, 'cpu', 'a queue between branches', NEVER),
    Row('torch_num_threads', POWERS, TORCH, 'cpu', 'cores that the robot needs', MEASURED, 1),
    Row('torch_mode', ('script', 'compile'), TORCH, 'cpu', 'opens slowly; compile needs a C++ '
        'compiler', MEASURED, 1),
    Row('cudnn_conv_algo_search', ('EXHAUSTIVE', 'DEFAULT'), ONNX, 'cuda', 'EXHAUSTIVE opens '
        'slowly, and may choose otherwise next time', DOCUMENT, 2),
    Row('cudnn_conv_use_max_workspace', (False,), ONNX, 'cuda', 'true takes memory', DOCUMENT, 1),
    Row('enable_cuda_graph', (False,), ONNX, 'cuda', 'launches of every kernel', NEVER, 1),
    Row('prefer_nhwc', (True,), ONNX, 'cuda', 'may round otherwise', NEVER, 1),
    Row('use_tf32', (True,), ONNX, 'cuda', '10 bits of 23', NEVER, 1, least=TF32_FROM),
    Row('arena_extend_strategy', ('kNextPowerOfTwo',), ONNX, 'cuda', 'memory', DOCUMENT),
    Row('onnx_provider', ('tensorrt',), ONNX, 'cuda', 'builds an engine', NEVER),
    Row('torch_mode', ('eager', 'script', 'compile'), TORCH, 'cuda', 'compile opens slowly',
        NEVER, 1),
    Row('builder_optimization_level', (2, 4, 5), TENSORRT, 'cuda', 'an engine of its own each',
        NEVER, 1, since='8.6'),
    Row('max_aux_streams', (0, 2), TENSORRT, 'cuda', 'an engine of its own each', NEVER, 1,
        since='8.6'))

# Why an option is not tried; the last four are no options of the node.
LEFT_OUT: Dict[str, str] = {
    'gpu_mem_limit_mb': 'a bound and not a goal: it makes nothing faster, and too little fails',
    'profile_directory': 'it writes files, and slows the opening',
    'force_spinning_stop': 'always on: without it, idle threads burn a core from step to step',
    'inter_op_num_threads': 'always 1: a step graph has hardly any branches, and a second pool '
                            'costs threads',
    'intra_op_thread_affinities': 'pins threads to cores that other processes of the robot use; '
                                  'then the step waits for them',
    'do_copy_in_default_stream': "false races: ONNX Runtime's documentation warns of wrong "
                                 'results',
    'tunable_op_enable, tunable_op_tuning_enable': 'belong to ROCm; on CUDA they do nothing',
    "TensorRT's timing cache": 'makes the building of engines quicker, and no step'}


def options_of(row: Row, place: Place) -> List[Dict[str, Value]]:
    """Return the settings that a row tries there, most promising first; none if it cannot."""
    if why_not(row, place):
        return []
    beside = {name: place.cores if value == CORES else value
              for name, value in row.beside.items()}
    default = place.threads if row.values == POWERS else None
    return [{**beside, row.name: value} for value in _values(row, place.cores)
            if value != default]


def why_not(row: Row, place: Place) -> str:
    """Return why a row does not matter there; '' if it may."""
    if place.backend not in row.backends:
        return f'an option of {", ".join(row.backends)}'
    if row.device != place.device:
        return f'for {"a GPU" if row.device == "cuda" else "the CPU"}'
    if place.cores == 1 and (row.values == POWERS or row.beside):
        return 'there is one core'
    if row.name == REHEARSAL and not place.rehearses:
        return 'the node rehearses small policies only, on the CPU'
    if row.since and _number(place.version) < _number(row.since):
        return f'needs version {row.since}'
    if row.name == 'use_tf32' and place.precision != 'fp32':
        return 'for fp32'
    return f'needs compute capability {row.least:g}' if place.capability < row.least else ''


def singles(place: Place, quick: bool = False) -> List[Dict[str, Value]]:
    """Return every change of one option, in the order of the table."""
    return [change for row in SPACE
            for change in options_of(row, place)[:row.quick if quick else None]]


def left_out(places: Sequence[Place]) -> Dict[str, str]:
    """Return the options that are not tried at any of the places, with the reason."""
    tried = {row.name for row in SPACE for place in places if not why_not(row, place)}
    found = {row.name: why_not(row, places[0]) for row in SPACE
             if row.name not in tried and any(place.backend in row.backends for place in places)}
    return {**found, **LEFT_OUT}


def _values(row: Row, cores: int) -> List[Value]:
    if row.values == POWERS:
        powers = [1 << power for power in range(cores.bit_length()) if 1 << power <= cores]
        return sorted({*powers, cores}, reverse=True)
    return list(row.values)


def _number(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:2])
