"""Which NumPy the installed extensions ask for, read from their files: nothing is imported."""

from importlib import import_module, metadata
import mmap
import os
from pathlib import Path
import sys
from typing import Iterator, List

from .telling import answer, Tell

# What import_array of NumPy's headers imports. Those of NumPy 2 try the first name, then the
# second, and what is built with them runs with both; those of NumPy 1 know only the second.
NUMPY_2, NUMPY_1 = b'numpy._core._multiarray_umath', b'numpy.core._multiarray_umath'
MOST_BYTES = 400_000_000
LIBRARIES = ('lib',)  # how files begin that no import opens


def look(tell: Tell) -> None:
    """Tell the NumPy that is installed, and the extensions that are built for NumPy 1."""
    tell(step='reading the installed extensions')
    folders = [Path(path) for path in dict.fromkeys(sys.path) if path.endswith('-packages')]
    files = [(folder, path) for folder in folders for path in extensions(folder)]
    old = [(path.relative_to(folder).parts[0].split('.')[0], str(path))
           for folder, path in files if is_for_numpy_1(path)]
    tell(numpy=metadata.version('numpy'), built_for_1=old, count=len(files),
         copies=[str(folder) for folder in folders if (folder / 'numpy/__init__.py').is_file()])
    tell(step='import numpy')
    import_module('numpy')


def extensions(folder: Path) -> Iterator[Path]:
    """Yield the extension modules in a folder, but for NumPy's own."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not (root == str(folder) and name == 'numpy')]
        for name in names:
            if name.endswith('.so') and not name.startswith(LIBRARIES):
                yield Path(root, name)


def is_for_numpy_1(path: Path) -> bool:
    """Return whether an extension asks for NumPy 1 only."""
    try:
        with path.open('rb') as file:
            if not 0 < os.fstat(file.fileno()).st_size < MOST_BYTES:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(NUMPY_1) >= 0 and content.find(NUMPY_2) < 0
    except OSError:
        return False


if __name__ == '__main__':
    arguments: List[str] = sys.argv[1:]
    answer(look, arguments)
