"""Tiny real bundles for tests: a seeded network, exported as the product exports it."""

from importlib.util import find_spec
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
import pytest
from vla_nav_node.bundle.bundle import Bundle, load_bundle, write_bundle

HEIGHT, WIDTH = 24, 32
needs_torch = pytest.mark.skipif(find_spec('torch') is None, reason='needs torch')
# A Python with torch that writes the bundles for one without: test/distributions.sh.
WRITER = os.environ.get('TINY_WRITER', '')
MEAN, STD = [110.0, 105.0, 100.0], [60.0, 61.0, 62.0]


def architecture(kind: str = 'LSTM', layers: int = 1, hidden: int = 8) -> Dict[str, Any]:
    """Return an architecture of a few thousand weights."""
    return {
        'encoder': [
            {'type': 'Conv2d', 'in_channels': 3, 'out_channels': 4, 'kernel_size': 5,
             'stride': 4, 'padding': 2},
            {'type': 'ReLU'},
            {'type': 'MaxPool2d', 'kernel_size': 2},
            {'type': 'Flatten'},
            {'type': 'Linear', 'in_features': 48, 'out_features': 16},
            {'type': 'ReLU'}],
        'recurrent': {'type': kind, 'input_size': 16, 'hidden_size': hidden,
                      'num_layers': layers},
        'head': [8]}


def manifest(kind: str = 'LSTM', layers: int = 1, limit: float = 0.8) -> Dict[str, Any]:
    """Return a tiny policy's manifest, without its files."""
    return {
        'format': 1,
        'name': f'tiny_{kind.lower()}',
        'architecture': architecture(kind, layers),
        'input': {'height': HEIGHT, 'width': WIDTH, 'fit': 'crop', 'resize': 'supersample',
                  'mean': MEAN, 'std': STD},
        'action': {'names': ['linear_x', 'linear_y'], 'unit': 'm/s',
                   'limits': {'linear_x': limit, 'linear_y': limit}},
        'training': {'trained': True},  # so that it may drive in tests, though it is not
        'verification': {'tolerance': {'fp32': 0.0001}}}


def write_tiny(directory: Path, kind: str = 'LSTM', layers: int = 1, seed: int = 0) -> Bundle:
    """Write a bundle with random weights and a true verdict to `directory`."""
    if WRITER:
        return _written_elsewhere(directory, kind, layers, seed)
    from safetensors.torch import save_file
    import torch
    from vla_nav_node.convert.export.step_graph import export_onnx
    from vla_nav_node.backends.torch.network import PolicyNetwork
    from vla_nav_node.vision.preprocess import InputSpec
    described = manifest(kind, layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PolicyNetwork(described['architecture'], MEAN, STD).eval()
    sources = {name: directory.with_name(f'{directory.name}.{name}')
               for name in ('policy.safetensors', 'policy.fp32.onnx')}
    save_file(network.state_dict(), sources['policy.safetensors'])
    export_onnx(network, sources['policy.fp32.onnx'], InputSpec(HEIGHT, WIDTH))
    bundle = write_bundle(directory, described, sources)
    for source in sources.values():
        source.unlink()
    return verified(bundle)


_WRITTEN: Dict[Tuple[str, int, int], Path] = {}  # by WRITER, to copy


def _written_elsewhere(directory: Path, kind: str, layers: int, seed: int) -> Bundle:
    if (kind, layers, seed) not in _WRITTEN:
        bundle = Path(tempfile.mkdtemp(prefix='tiny')) / 'bundle'
        code = ('import sys\nfrom pathlib import Path\nimport tiny\n'
                'tiny.write_tiny(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))')
        here = Path(__file__).parent
        # The libraries of this environment's ROS 2 are not for that Python.
        environment = {name: value for name, value in os.environ.items() if name not in (
            'TINY_WRITER', 'LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')}
        subprocess.run([WRITER, '-c', code, str(bundle), kind, str(layers), str(seed)], check=True,
                       env={**environment, 'PYTHONPATH': f'{here.parent}{os.pathsep}{here}'})
        _WRITTEN[kind, layers, seed] = bundle
    shutil.copytree(_WRITTEN[kind, layers, seed], directory, dirs_exist_ok=True)
    return load_bundle(directory)


_ROWS: Dict[str, List[Any]] = {}  # verify's results, by manifest


def verified(bundle: Bundle) -> Bundle:
    """Verify the fp32 graph against the network, and return the bundle with the verdict."""
    from vla_nav_node.convert.verify.verdict import verify_open_loop, write_verdicts
    key = str(bundle.manifest)
    if key not in _ROWS:
        _ROWS[key] = verify_open_loop(bundle, scenes(), [('onnx', 'fp32')])
    return write_verdicts(bundle, _ROWS[key], {'source': 'test/tiny.py'})


def scenes(count: int = 60, seed: int = 0) -> np.ndarray:
    """Return the views of a camera that pans over a picture, uint8 [count, H, W, 3]."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, (count + WIDTH) // 4 + 1, 3), dtype=np.uint8)
    wall = cv2.resize(coarse, (coarse.shape[1] * 4, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.stack([wall[:, left:left + WIDTH] for left in range(count)])


def images(count: int, seed: int = 0) -> np.ndarray:
    """Return random pictures, uint8 [count, 1, H, W, 3]."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 1, HEIGHT, WIDTH, 3), dtype=np.uint8)


def check_a_long_drive(bundle, backend, reference):
    """Compare a backend with another for 1,000 steps, and its state after it is closed."""
    state, expected, worst = bundle.zero_state(), bundle.zero_state(), 0.0
    pictures = images(50)
    for number in range(1000):
        action, state = backend.infer(pictures[number % 50], state)
        wanted, expected = reference.infer(pictures[number % 50], expected)
        worst = max(worst, float(np.abs(action - wanted).max()))
    assert worst < 1e-4
    backend.close()
    assert all(np.allclose(part, other, atol=1e-4) for part, other in zip(state, expected))
