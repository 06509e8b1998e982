"""The options of the backends beyond precision and device: a row each, and their values."""

from dataclasses import dataclass, fields, replace
from typing import Dict, NamedTuple, Tuple, Union

from ..errors import SettingError

TORCH, ONNX, TENSORRT = ('torch',), ('onnx',), ('tensorrt',)


class Option(NamedTuple):
    """An option: what reads it, what it does, and which values it may have."""

    name: str  # of the field in BackendOptions, and of the node's parameter
    read_by: Tuple[str, ...]  # backends; a change leaves the others running
    description: str
    choices: Tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    unit: str = ''
    live: bool = True


OPTIONS = (
    Option('torch_mode', TORCH, 'How the torch backend runs a step. auto: cuda_graph on a GPU, '
           'eager on the CPU. script: frozen TorchScript. compile: torch.compile, which opens '
           'slowly and needs a C++ compiler (CPU) or triton (GPU).',
           ('auto', 'eager', 'cuda_graph', 'script', 'compile')),
    Option('torch_num_threads', TORCH, 'Threads of torch on the CPU; 0: one. More wait for one '
           'another at every layer.', high=256),
    Option('onnx_provider', ONNX, 'Execution provider of the onnx backend. auto: cuda or cpu, by '
           'device. tensorrt: the TensorRT provider, then cuda, and nothing on the CPU.',
           ('auto', 'cpu', 'cuda', 'tensorrt')),
    Option('intra_op_num_threads', ONNX, 'Threads of onnx on the CPU; 0: one, and up to four for '
           'graphs over 100 MB.', high=256),
    Option('intra_op_allow_spinning', ONNX, 'Let idle threads of onnx wait actively within a '
           'step: quicker if several cores are free, otherwise much slower.'),
    Option('intra_op_spin_duration_us', ONNX, 'How long they do, in ONNX Runtime 1.32 or newer; '
           '0: as it decides.', high=1_000_000, unit='us'),
    Option('dynamic_block_base', ONNX, 'Cut the work of onnx on several threads into blocks that '
           'become smaller; 0: into equal ones.', high=64),
    Option('execution_mode', ONNX, 'ORT_PARALLEL runs independent branches of a graph at the '
           'same time, on the CPU.', ('ORT_SEQUENTIAL', 'ORT_PARALLEL')),
    Option('graph_optimization_level', ONNX, 'How far onnx rewrites the graph when it opens it.',
           ('ORT_ENABLE_ALL', 'ORT_ENABLE_EXTENDED', 'ORT_ENABLE_BASIC', 'ORT_DISABLE_ALL')),
    Option('enable_cpu_mem_arena', ONNX, 'Let onnx keep memory on the CPU from step to step.'),
    Option('enable_mem_pattern', ONNX, 'Let onnx plan the memory of a step as one block.'),
    Option('set_denormal_as_zero', ONNX, 'Let onnx take numbers below 1e-38 for zero on the CPU: '
           'some processors are slow with them.'),
    Option('huge_pages', TORCH + ONNX, 'Put the memory of a policy on the CPU into pages of 2 MB. '
           'A step that comes every 20 ms finds the addresses of small pages forgotten.'),
    Option('cudnn_conv_algo_search', ONNX, 'How onnx on cuda chooses its convolution algorithms. '
           "DEFAULT is cuDNN's slow fallback mode since ONNX Runtime 1.20.",
           ('HEURISTIC', 'EXHAUSTIVE', 'DEFAULT')),
    Option('gpu_mem_limit_mb', ONNX, "Maximum GPU memory of onnx's arena; 0: no limit.",
           high=1_000_000, unit='MB'),
    Option('arena_extend_strategy', ONNX, "How onnx's arena on the GPU grows.",
           ('kSameAsRequested', 'kNextPowerOfTwo')),
    Option('cudnn_conv_use_max_workspace', ONNX, 'Let the convolutions of onnx on cuda use as '
           'much workspace as their fastest algorithms need.'),
    Option('prefer_nhwc', ONNX, 'Let onnx on cuda compute convolutions with the channels last.'),
    Option('use_tf32', ONNX, 'Let onnx on cuda multiply fp32 with 10 bits of 23. verify judges '
           'without it.'),
    Option('enable_cuda_graph', ONNX, 'Let onnx on cuda record a step and replay it.'),
    Option('builder_optimization_level', TENSORRT + ONNX, 'How long TensorRT looks for a faster '
           'engine, from 8.6 on; each level has an engine of its own.', high=5),
    Option('max_aux_streams', TENSORRT + ONNX, 'Streams on which TensorRT may run parts of an '
           'engine beside each other; -1: as it decides.', low=-1, high=16),
    # Not live: anyone on the ROS graph could choose where on the disk this user writes.
    Option('profile_directory', ONNX + TENSORRT, 'Directory in which onnx and tensorrt write a '
           'profile of their layers while they open; empty: none.', live=False))
CHOICES: Dict[str, Tuple[str, ...]] = {row.name: row.choices for row in OPTIONS if row.choices}


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """The options of all backends; the fields have the names of the node's parameters."""

    torch_mode: str = 'auto'
    torch_num_threads: int = 0
    onnx_provider: str = 'auto'
    intra_op_num_threads: int = 0
    intra_op_allow_spinning: bool = False
    intra_op_spin_duration_us: int = 0
    dynamic_block_base: int = 0
    execution_mode: str = 'ORT_SEQUENTIAL'
    graph_optimization_level: str = 'ORT_ENABLE_ALL'
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    set_denormal_as_zero: bool = False
    huge_pages: bool = True
    cudnn_conv_algo_search: str = 'HEURISTIC'
    gpu_mem_limit_mb: int = 0
    arena_extend_strategy: str = 'kSameAsRequested'
    cudnn_conv_use_max_workspace: bool = True
    prefer_nhwc: bool = False
    use_tf32: bool = False
    enable_cuda_graph: bool = True
    builder_optimization_level: int = 3
    max_aux_streams: int = -1
    profile_directory: str = ''

    def __post_init__(self) -> None:
        """Raise SettingError for an unknown choice or a number out of range."""
        for row in OPTIONS:
            value: Union[str, int] = getattr(self, row.name)
            if row.choices and value not in row.choices:
                raise SettingError(f'{row.name} is {value!r}', 'one of ' + ', '.join(row.choices))
            if row.high and not row.low <= int(value) <= row.high:
                raise SettingError(f'{row.name} is {value}', f'{row.low} to {row.high}')

    def read_by(self, backend: str) -> 'BackendOptions':
        """Return the options that a backend reads, with defaults for the rest."""
        return replace(DEFAULTS, **{row.name: getattr(self, row.name) for row in OPTIONS
                                    if backend in row.read_by})

    def changed(self) -> Dict[str, Union[str, int, bool]]:
        """Return the options that differ from the defaults."""
        return {field.name: getattr(self, field.name) for field in fields(BackendOptions)
                if getattr(self, field.name) != getattr(DEFAULTS, field.name)}


DEFAULTS = BackendOptions()
