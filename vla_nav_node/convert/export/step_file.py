"""Write the file of a step graph: export it, mark it, and compare it with its network."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from .rewrite import folder_beside, rewrite_bundle
from .step_graph import export_onnx, OPSET
from ..verify.drift import StepFile
from ...bundle.bundle import Bundle, graph_name, sha256_of, WEIGHTS
from ...errors import BackendError, BundleError, first_line
from ...system.machine import package_version
from ...vision.preprocess import InputSpec

PRODUCER = 'vla_nav_node'
STEPS = 20  # with carried state; whether it drives as well is for verify to judge
# Largest difference from the network over these steps, for each m/s of the largest action.
TOLERANCES = {'fp32': 1e-4, 'fp16': 2e-2}
FIXES = {'fp32': 'a layer computes something else in ONNX than in torch, as some pools with '
                 'ceil_mode or divisor_override do: train with another',
         'fp16': 'drive without fp16; the weights may be too large for it'}


def export_bundle(bundle: Bundle, out: Optional[Path], precisions: Sequence[str]) -> Bundle:
    """
    Export the step graphs of `precisions` from a bundle's weights, and check each of them.

    Return the bundle that has them: at `out`, or in place.
    """
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


def write_step_file(network: Any, path: Path, spec: InputSpec, name: str, weights: Path,
                    precision: str = 'fp32') -> None:
    """
    Export `network` as policy `name`, mark the file, and check it; raise BundleError if unsound.

    `weights` is the policy.safetensors that the network was loaded from.
    """
    export_onnx(network, path, spec, precision)
    mark(path, {'name': name, 'precision': precision, 'weights_sha256': sha256_of(weights)})
    check_step_file(network, path, spec, precision)


def mark(path: Path, facts: Dict[str, str]) -> None:
    """Write `facts`, the opset and the package's version into an ONNX file's metadata."""
    import onnx
    model = onnx.load(str(path))
    model.producer_name, model.producer_version = PRODUCER, package_version()
    onnx.helper.set_model_props(model, {**facts, 'opset': str(OPSET)})
    onnx.save(model, str(path))


def marks_of(path: Path) -> Dict[str, str]:
    """Return the metadata that `mark` wrote."""
    import onnx
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


def check_step_file(network: Any, path: Path, spec: InputSpec, precision: str) -> None:
    """Raise BundleError unless the file is valid ONNX and computes what the network does."""
    import onnx
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f'{path.name} is not valid ONNX: {first_line(error)[:300]}',
                          'a valid graph', FIXES['fp32']) from error
    try:
        difference, largest = _compare(network, path, spec)
    except BackendError as error:
        raise BundleError(error.found[:300], 'a graph that ONNX Runtime runs',
                          FIXES['fp32']) from error
    allowed = TOLERANCES[precision] * max(1.0, largest)
    if not difference <= allowed:
        raise BundleError(f'{path.name} is up to {difference:.2g} m/s off the network that it was '
                          f'exported from, over {STEPS} steps', f'at most {allowed:.2g}',
                          FIXES[precision])


def _compare(network: Any, path: Path, spec: InputSpec) -> Tuple[float, float]:
    """Run both from the zero state; return the largest difference and the largest action, m/s."""
    import torch
    graph = StepFile(path)
    rng = np.random.default_rng(0)
    state, graph_state = network.zero_state(), graph.zero
    wanted, found = [], []
    for _ in range(STEPS):
        image = rng.integers(0, 256, spec.shape, np.uint8)
        with torch.inference_mode():
            action, *state = network.step(torch.from_numpy(image), *state)
        graph_action, graph_state = graph.infer(image, graph_state)
        wanted.append(action.numpy())
        found.append(graph_action)
    # A NaN anywhere gives a NaN here, which passes no limit.
    return float(np.abs(np.subtract(found, wanted)).max()), float(np.abs(wanted).max())
