"""The int8 step graph of a bundle: made, measured against fp32, and kept."""

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from .fixed_scales import write_fixed_scales
from .layer_search import BITS, Row, Search
from .mixed_precision_graph import MixedPrecisionGraph
from .trial import race, Reference, StepFile
from ..export.rewrite import rewrite_bundle
from ..export.step_file import mark
from ...bundle.bundle import Bundle, graph_name, sha256_of, WEIGHTS
from ...system.machine import package_version

FP32, INT8 = graph_name('fp32'), graph_name('int8')
FRAMES = 600  # to take from a source where nobody says otherwise
CALIBRATION = 200  # frames at most, spread over all; more hardly widen the ranges


def keep(bundle: Bundle, directory: Path, graph: Path, facts: Dict[str, Any]) -> None:
    """Write the bundle at `directory` with a graph and what is known of it put in."""
    kind = graph.name.split('.', 1)[1].rpartition('.')[0]  # int8, int8.qdq

    def change(manifest: Dict[str, Any]) -> None:
        manifest['quantization'] = {**manifest.get('quantization', {}), kind: facts}
    rewrite_bundle(bundle, directory, {graph.name: graph}, change)


def with_fixed_scales(bundle: Bundle, frames: np.ndarray, path: Path) -> Dict[str, Any]:
    """Write all of the graph in int8 with scales calibrated on `frames`; give the figures."""
    import onnxruntime
    write_fixed_scales(bundle, frames, path)
    _mark(bundle, path)
    drift = Reference(StepFile(bundle.file(FP32)), frames).drift(StepFile(path))
    return {'of': sha256_of(bundle.file(FP32)), 'drift': drift.as_dict(), 'steps': len(frames),
            'bytes': path.stat().st_size, 'onnxruntime': onnxruntime.__version__,
            'vla_nav_node': package_version()}


def _mark(bundle: Bundle, path: Path) -> None:
    mark(path, {'name': bundle.name, 'precision': 'int8',
                'weights_sha256': sha256_of(bundle.file(WEIGHTS))})


def quantise(bundle: Bundle, frames: np.ndarray, path: Path, least_bits: int = min(BITS),
             by_time: bool = True) -> Tuple[List[Row], Dict[str, Any]]:
    """
    Write the int8 step graph to `path`, unless no layer is worth it; give the table and figures.

    `frames` (uint8 [N, H, W, 3]) calibrate the convolutions, and each layer is tried on them.
    """
    fp32 = bundle.file(FP32)
    mixtures = MixedPrecisionGraph(fp32, _spread(frames, CALIBRATION))
    original = StepFile(fp32)
    reference = Reference(original, frames)
    search = Search(mixtures, reference, frames[0], path.parent, by_time)
    choice = search.run(least_bits)
    facts: Dict[str, Any] = {'of': sha256_of(fp32), 'notes': search.notes}
    if choice.int8 or choice.blocks:
        mixtures.write(choice, path)
        _mark(bundle, path)
        facts.update(_figures(original, reference, path, frames[0]))
    rows = search.rows(choice)
    facts['layers'] = [{'name': row.layer.name, 'weights': row.layer.weights, 'as': row.form,
                        'why': row.why} for row in rows]
    return rows, facts


def _figures(original: StepFile, reference: Reference, path: Path,
             frame: np.ndarray) -> Dict[str, Any]:
    import onnxruntime
    quantised = StepFile(path)
    drift = reference.drift(quantised)
    found = race(quantised, original, frame)
    return {'drift': drift.as_dict(), 'steps': len(reference.actions),
            'here': {'fp32_ms': round(found.other, 3), 'int8_ms': round(found.one, 3)},
            'bytes': path.stat().st_size, 'onnxruntime': onnxruntime.__version__,
            'vla_nav_node': package_version()}


def _spread(frames: np.ndarray, most: int) -> np.ndarray:
    """Take at most so many, evenly from the first to the last."""
    index = np.linspace(0, len(frames) - 1, min(most, len(frames)))
    return frames[np.rint(index).astype(int)]
