"""Settings to try first on a kind of machine, and where each comes from."""

from pathlib import Path
import shutil
import subprocess
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Tuple

from .space import CORES, DOCUMENT, MEASURED, NEVER, Place
from .trial import REHEARSAL, Value

PATIENCE_S = 10.0
QUERY = ('nvidia-smi', '--query-gpu=name,compute_cap,driver_version', '--format=csv,noheader')


class Machine(NamedTuple):
    """What starting points are for."""

    features: FrozenSet[str]  # the processor's, as /proc/cpuinfo names them
    gpu: str = ''
    capability: float = 0.0
    driver: str = ''


class Start(NamedTuple):
    """Settings for a kind of machine; `needs` is a feature, or the beginning of a GPU's name."""

    kind: str
    needs: str
    capability: float  # 0 for the CPU
    settings: Mapping[str, Value]
    seen: str


# Those that fit are tried first, in this order; what is a default of ours is tried anyway.
STARTS = (
    Start('x86 with AVX-512 VNNI', 'avx512_vnni', 0.0, {REHEARSAL: 2.0}, MEASURED),
    Start('x86 with AVX2', 'avx2', 0.0, {'intra_op_num_threads': CORES}, MEASURED),
    Start('Arm with dot products', 'asimddp', 0.0, {'intra_op_num_threads': CORES}, NEVER),
    Start('Arm without', 'asimd', 0.0, {'intra_op_num_threads': CORES,
                                        'intra_op_allow_spinning': True}, NEVER),
    Start('T4', 'Tesla T4', 7.5, {'cudnn_conv_algo_search': 'EXHAUSTIVE'}, DOCUMENT),
    Start('Volta', '', 7.0, {'cudnn_conv_algo_search': 'EXHAUSTIVE'}, DOCUMENT),
    Start('Turing', '', 7.5, {'cudnn_conv_algo_search': 'DEFAULT'}, DOCUMENT),
    Start('Ampere', '', 8.0, {'cudnn_conv_algo_search': 'HEURISTIC'}, DOCUMENT),
    Start('Ampere (GeForce, RTX A)', '', 8.6, {'cudnn_conv_algo_search': 'HEURISTIC'}, DOCUMENT),
    Start('Orin', '', 8.7, {'prefer_nhwc': True}, NEVER),
    Start('Ada', '', 8.9, {'prefer_nhwc': True}, NEVER),
    Start('Hopper', '', 9.0, {'prefer_nhwc': True}, NEVER))


def starts_for(machine: Machine, place: Place) -> List[Tuple[Start, Dict[str, Value]]]:
    """Return the starting points for a machine with their settings; none of one core's threads."""
    if place.backend != 'onnx':
        return []
    fit = [start for start in STARTS if _fits(start, machine, place)]
    return [(start, {name: place.cores if value == CORES else value
                     for name, value in start.settings.items()}) for start in fit]


def this_machine() -> Machine:
    """Return what this machine is."""
    words = {word for line in Path('/proc/cpuinfo').read_text().splitlines()
             if line.partition(':')[0].strip() in ('flags', 'Features')
             for word in line.partition(':')[2].split()}
    return Machine(frozenset(words), *_gpu())


def _fits(start: Start, machine: Machine, place: Place) -> bool:
    if REHEARSAL in start.settings and not place.rehearses:
        return False
    if CORES in start.settings.values() and place.cores == 1:
        return False
    if place.device == 'cpu':
        return not start.capability and start.needs in machine.features
    return start.capability == machine.capability and machine.gpu.startswith(
        start.needs or machine.gpu)


def _gpu() -> Tuple[str, float, str]:
    if not shutil.which(QUERY[0]):
        return '', 0.0, ''
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=True)
        name, capability, driver = done.stdout.splitlines()[0].split(', ')
        return name.removeprefix('NVIDIA '), float(capability), driver
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return '', 0.0, ''
