"""The step graphs of a bundle, written anew from its weights, and checked."""

from pathlib import Path
from typing import Dict, Optional, Sequence

from .rewrite import folder_beside, rewrite_bundle
from .step_file import write_step_file
from ...bundle.bundle import Bundle, graph_name, WEIGHTS


def export_bundle(bundle: Bundle, out: Optional[Path], precisions: Sequence[str]) -> Bundle:
    """Write the step graphs of `precisions` anew from the weights, and check each of them."""
    from ...backends.torch.network import load_network
    weights = bundle.file(WEIGHTS)
    network = load_network(weights, bundle.architecture, bundle.mean, bundle.std)
    directory = (out or bundle.directory).expanduser().resolve()
    with folder_beside(directory) as folder:
        files: Dict[str, Path] = {}
        for precision in precisions:
            name = graph_name(precision)
            files[name] = folder / name
            write_step_file(network, files[name], bundle.input, bundle.name, weights, precision)
        return rewrite_bundle(bundle, directory, files)
