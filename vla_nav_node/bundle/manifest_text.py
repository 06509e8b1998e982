"""The text of a bundle's policy.yaml: read whole or refused whole, and written."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Union

from . import plain_yaml
from .manifest import MANIFEST, problems_of
from ..errors import BundleError


def read_manifest(root: Path) -> bytes:
    """Return the manifest of the bundle in a directory as it is, or raise BundleError."""
    if not root.is_dir():
        raise BundleError(f'no bundle at {root}', 'a directory with a policy.yaml',
                          'give the path of a bundle, or leave it empty for the one that ships')
    if not (root / MANIFEST).is_file():  # nor is a pipe or a device one
        raise BundleError(f'{root} has no {MANIFEST}', 'a policy bundle',
                          "make one with 'vla_nav export'")
    try:
        with open(root / MANIFEST, 'rb') as file:
            return file.read(plain_yaml.MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f'{root / MANIFEST} cannot be read: {error.strerror}',
                          'a readable file', 'check its permissions') from None


def parse_manifest(text: Union[str, bytes], where: str = MANIFEST) -> Dict[str, Any]:
    """Turn a manifest's text into a checked mapping, or raise BundleError."""
    try:
        document = plain_yaml.load(text)
    except plain_yaml.NotPlain as error:
        raise BundleError(f'{where} is not plain YAML: {error}', 'a manifest of a policy bundle',
                          'export the bundle again') from None
    refuse(where, problems_of(document))
    return dict(document)


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as text, or raise BundleError."""
    try:
        return plain_yaml.dump(manifest)
    except plain_yaml.NotPlain as error:
        raise BundleError(f'the manifest cannot be written: {error}',
                          'texts, numbers, lists and mappings only') from None


def refuse(where: str, problems: List[str]) -> None:
    """Raise BundleError if there are any."""
    if problems:
        raise BundleError(f'{where} is refused: ' + '; '.join(problems),
                          'a bundle as it was exported', 'copy or export the bundle again')
