"""Make the int8 step graph of a bundle, compare it with fp32, and put it into the bundle."""

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from .fixed_scales import write_fixed_scales
from .layer_search import BITS, Row, Search
from .mixed_precision_graph import MixedPrecisionGraph
from ..export.rewrite import rewrite_bundle
from ..export.step_file import mark
from ..verify.drift import race, Reference, StepFile
from ...bundle.bundle import Bundle, graph_name, sha256_of, WEIGHTS
from ...system.machine import package_version

FP32, INT8 = graph_name('fp32'), graph_name('int8')
FRAMES = 600  # to take from a source by default
CALIBRATION = 200  # frames at most, spread over all; more hardly widen the ranges


def keep(bundle: Bundle, directory: Path, graph: Path, facts: Dict[str, Any]) -> None:
    """Write the bundle at `directory` with a graph and its facts put in."""
    kind = graph.name.split('.', 1)[1].rpartition('.')[0]  # int8, int8.qdq

    def change(manifest: Dict[str, Any]) -> None:
        manifest['quantization'] = {**manifest.get('quantization', {}), kind: facts}
    rewrite_bundle(bundle, directory, {graph.name: graph}, change)


def with_fixed_scales(bundle: Bundle, frames: np.ndarray, path: Path) -> Dict[str, Any]:
    """Write the whole graph in int8 with scales calibrated on `frames`; return the figures."""
    write_fixed_scales(bundle, frames, path)
    reference = Reference(StepFile(bundle.file(FP32)), frames)
    return {'of': sha256_of(bundle.file(FP32)), **_finish(bundle, reference, path)}


def quantise(bundle: Bundle, frames: np.ndarray, path: Path, least_bits: int = min(BITS),
             by_time: bool = True) -> Tuple[List[Row], Dict[str, Any]]:
    """
    Write the int8 step graph to `path`, unless no layer is worth it; return table and figures.

    `frames` (uint8 [N, H, W, 3]) calibrate the convolutions, and each layer is tried on them.
    """
    fp32 = bundle.file(FP32)
    spread = np.linspace(0, len(frames) - 1, min(CALIBRATION, len(frames)))
    graphs = MixedPrecisionGraph(fp32, frames[np.rint(spread).astype(int)])
    original = StepFile(fp32)
    reference = Reference(original, frames)
    search = Search(graphs, reference, frames[0], path.parent, by_time)
    choice = search.run(least_bits)
    facts: Dict[str, Any] = {'of': sha256_of(fp32), 'notes': search.notes}
    if choice.int8 or choice.blocks:
        graphs.write(choice, path)
        facts.update(_finish(bundle, reference, path))
        timed = race(StepFile(path), original, frames[0])
        facts['here'] = {'fp32_ms': round(timed.second_ms, 3), 'int8_ms': round(timed.first_ms, 3)}
    rows = search.rows(choice)
    facts['layers'] = [{'name': row.layer.name, 'weights': row.layer.weights, 'as': row.form,
                        'why': row.why} for row in rows]
    return rows, facts


def _finish(bundle: Bundle, reference: Reference, path: Path) -> Dict[str, Any]:
    """Mark an int8 graph, and return its figures."""
    import onnxruntime
    mark(path, {'name': bundle.name, 'precision': 'int8',
                'weights_sha256': sha256_of(bundle.file(WEIGHTS))})
    return {'drift': reference.drift(StepFile(path)).as_dict(), 'steps': reference.steps,
            'bytes': path.stat().st_size, 'onnxruntime': onnxruntime.__version__,
            'vla_nav_node': package_version()}
