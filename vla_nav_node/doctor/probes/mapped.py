"""The libraries of NVIDIA that this process has really mapped."""

from pathlib import Path
import re
from typing import Dict, List

LIBRARY = re.compile(r'(/\S+/(lib(?:cudnn|cublas|cublasLt|cudart|nvinfer|cuda)\.so[.\d]*))$',
                     re.MULTILINE)
MAPS = Path('/proc/self/maps')


def gpu_libraries(maps: Path = MAPS) -> Dict[str, List[str]]:
    """Return the paths of each such library; more than one path is more than one copy."""
    found: Dict[str, List[str]] = {}
    for path, name in LIBRARY.findall(maps.read_text()):
        paths = found.setdefault(name.split('.')[0], [])
        real = str(Path(path).resolve())
        if real not in paths:
            paths.append(real)
    return found
