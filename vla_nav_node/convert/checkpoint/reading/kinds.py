"""Recognise files that hold no weights, by their first bytes or by the names in an archive."""

from pathlib import Path
import re
from typing import List, NoReturn, Tuple

from ....errors import CheckpointError

SAVE = "torch.save({'model_state_dict': model.state_dict()}, FILE)"
AS_SAVED = f'save the weights where it was trained: {SAVE}'
LOAD = f'load it with what wrote it, and save its weights: {SAVE}'
WEIGHTS = 'a file of weights (torch.save or safetensors)'
UNPACK = 'unpack it, and give the file of weights inside'
# Offset, bytes there, what the file is, fix.
SIGNATURES: Tuple[Tuple[int, bytes, str, str], ...] = (
    (0, b'version https://git-lfs', 'a git-lfs pointer, not the file itself', 'git lfs pull'),
    (0, b'\x89HDF\r\n\x1a\n', 'an HDF5 file (Keras weights or a data set)', LOAD),
    (0, b'\x1f\x8b', 'compressed with gzip', UNPACK), (0, b'BZh', 'compressed with bzip2', UNPACK),
    (0, b'\xfd7zXZ\x00', 'compressed with xz', UNPACK),
    (0, b'\x28\xb5\x2f\xfd', 'compressed with zstd', UNPACK),
    (0, b'\x04\x22\x4d\x18', 'compressed with lz4', UNPACK),
    (0, b'7z\xbc\xaf\x27\x1c', 'a 7z archive', UNPACK),
    (0, b'Rar!\x1a\x07', 'a RAR archive', UNPACK),
    (257, b'ustar', 'a tar archive (NeMo, or a packed folder)', UNPACK),
    (0, b'GGUF', 'a GGUF file (llama.cpp)', LOAD), (0, b'lmgg', 'a GGML file', LOAD),
    (0, b'tjgg', 'a GGJT file (llama.cpp)', LOAD),
    (0, b'\x93NUMPY', 'a NumPy array (.npy)', AS_SAVED),
    (4, b'TFL3', 'a TensorFlow Lite model', LOAD),
    (4, b'PTMF', 'a TorchScript mobile model', LOAD),
    (4, b'ET12', 'an ExecuTorch program', LOAD), (0, b'ftrt', 'a TensorRT engine', AS_SAVED),
    (0, b'%PDF', 'a PDF document', WEIGHTS), (0, b'\x7fELF', 'a program', AS_SAVED))
PATTERNS: Tuple[Tuple[bytes, str, str], ...] = (
    (rb'(?i)[\s\xef\xbb\xbf]*(<!doctype html|<html|<head|<body)', 'a web page (HTML)',
     'download the file itself'),
    (rb'(?i)[\s\xef\xbb\xbf]*<\?xml|<error', 'an XML text, such as the error of a download',
     'download the file itself'),
    (rb'\x08[\x03-\x1f](\x12|\x3a|\x42)', 'an ONNX graph', AS_SAVED),
    (rb'\x08\x01\x12', 'a TensorFlow SavedModel', LOAD),
    (rb'\(?[dl]p\d|\(i|c\w[\w.]*\n', 'a Python pickle of an old protocol', AS_SAVED))
TENSORFLOW_INDEX = bytes.fromhex('57fb808b247547db')  # the end of a table


def refuse_foreign_file(path: Path, start: bytes, end: bytes) -> None:
    """Raise CheckpointError if a file is of a known kind that is not read."""
    found = next(((what, fix) for place, magic, what, fix in SIGNATURES
                  if start[place:].startswith(magic)), None) or \
        next(((what, fix) for pattern, what, fix in PATTERNS if re.match(pattern, start)), None)
    if end == TENSORFLOW_INDEX or '.data-00000-of-' in path.name:
        found = ('part of a TensorFlow checkpoint', LOAD)
    if re.match(rb'[\s\xef\xbb\xbf]*[{\[]', start) and b'\0' not in start:
        found = ('a JSON text', 'give the file of weights that belongs to it')
        if path.name.endswith('.index.json') or b'"weight_map"' in start:
            found = ('the index of weights in several files',
                     'join them into one safetensors file, as transformers does with '
                     'max_shard_size')
    if found:
        raise CheckpointError(f'{path.name} is {found[0]}', WEIGHTS, found[1])


# A pattern of names in a zip archive, what the archive is, fix; the surest sign first.
ZIPS: Tuple[Tuple[str, str, str], ...] = (
    (r'serialized_exported_program\.json$|(^|/)models/.*\.json$', 'a program of torch.export',
     AS_SAVED),
    (r'(^|/)constants\.pkl$|/code/', 'a TorchScript program',
     f'where it was trained, or from torch.jit.load(FILE): {SAVE}'),
    (r'(^|/)\.data/extern_modules$', 'a torch.package archive', LOAD),
    (r'\.weights\.h5$', 'a Keras model', LOAD),
    (r'\.npy$', 'an archive of NumPy arrays (.npz)', AS_SAVED),
    (r'\.(pth|pt|ckpt|safetensors|bin)$', 'an archive that holds {}', UNPACK))


def refuse_zip(file: str, names: List[str]) -> NoReturn:
    """Raise CheckpointError that says what the zip archive `file` is, by the names in it."""
    for pattern, what, fix in ZIPS:
        fitting = [name for name in names if re.search(pattern, name)]
        if fitting:
            raise CheckpointError(f'{file} is ' + what.format(', '.join(fitting[:4])), WEIGHTS,
                                  fix)
    held = ', '.join(names[:4]) or 'nothing'
    raise CheckpointError(f'{file} is a zip archive that holds {held}', WEIGHTS, AS_SAVED)
