"""What the GPU is and how fast it may run: what NVIDIA's own tools say of it."""

import shutil
import subprocess
from typing import List

# Each tool that is there is asked; a Jetson has the last two and the servers the first.
ASKED = (
    ('nvidia-smi', '--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm,'
     'clocks.max.mem,persistence_mode,compute_mode', '--format=csv'),
    ('nvpmodel', '-q'),
    ('jetson_clocks', '--show'))
PATIENCE_S = 10.0


def gpu_told() -> List[str]:
    """Return what they say, line by line."""
    told: List[str] = []
    for command in ASKED:
        if shutil.which(command[0]):
            told += [f'{command[0]}: {line}' for line in _lines(command)]
    return told or ['No GPU: neither nvidia-smi nor nvpmodel is here.']


def _lines(command: tuple) -> List[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
