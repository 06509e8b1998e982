"""A bundle again with other files or facts in it: all of it at once, or nothing."""

from pathlib import Path
from typing import Any, Mapping

from ..bundle import Bundle, write_bundle


def rewrite_bundle(bundle: Bundle, directory: Path, files: Mapping[str, Path],
                   facts: Mapping[str, Any]) -> Bundle:
    """
    Write `bundle` to `directory` (its own, or another) with `files` and `facts` put in.

    What it has besides stays, verdicts included: those hold the hashes of the files that they
    are about, and do not count for others.
    """
    kept = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    sources = {name: bundle.file(name) for name in bundle.manifest['files']}
    return write_bundle(directory, {**kept, **facts}, {**sources, **files})
