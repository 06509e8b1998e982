"""Known structures without weights: good for measuring speed, refused for driving."""

from pathlib import Path
from typing import Any, Dict, List

from ..export.rewrite import folder_beside
from ...bundle.bundle import Bundle, graph_name, WEIGHTS, write_bundle
from ...bundle.manifest import AXES, UNIT
from ...errors import SettingError
from ...vision.preprocess import InputSpec

# No weights were trained for the presets, so any input recipe and limits will do.
INPUT: Dict[str, Any] = {'height': 224, 'width': 224, 'fit': 'stretch', 'resize': 'linear'}
MEAN, STD = [127.5] * 3, [127.5] * 3
LIMIT = 0.5  # m/s


def _conv(inputs: int, outputs: int, kernel: int = 3) -> List[Dict[str, Any]]:
    return [{'type': 'Conv2d', 'in_channels': inputs, 'out_channels': outputs,
             'kernel_size': kernel, 'stride': 2, 'padding': kernel // 2}, {'type': 'ReLU'}]


def _cnn_rnn(widths: List[int], hidden: int) -> Dict[str, Any]:
    """Return the structure of the original `best_simple_lstm_model`: a plain tanh RNN."""
    encoder = _conv(3, widths[0], kernel=7)
    encoder.append({'type': 'MaxPool2d', 'kernel_size': 3, 'stride': 2, 'padding': 1})
    for inputs, outputs in zip(widths, widths[1:]):
        encoder += _conv(inputs, outputs)
    encoder += [{'type': 'AdaptiveAvgPool2d', 'output_size': 1}, {'type': 'Flatten'},
                {'type': 'Linear', 'in_features': widths[-1], 'out_features': 2048}]
    return {'encoder': encoder,
            'recurrent': {'type': 'RNN', 'input_size': 2048, 'hidden_size': hidden,
                          'num_layers': 4, 'nonlinearity': 'tanh'},
            'head': [1024, 512, 256]}


PRESETS: Dict[str, Dict[str, Any]] = {
    'simple': _cnn_rnn([64, 128, 256], 1024),  # 12.1 million parameters
    'accurate': _cnn_rnn([64, 128, 256, 512], 4096)}  # 131.6 million


def write_preset(name: str, directory: Path, seed: int = 0) -> Bundle:
    """Write a preset with random weights as a bundle that is marked untrained."""
    if name not in PRESETS:
        raise SettingError(f'preset {name!r}', 'one of: ' + ', '.join(PRESETS))
    from safetensors.torch import save_file
    import torch

    from ..export.step_file import write_step_file
    from ...backends.torch.network import PolicyNetwork
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PolicyNetwork(PRESETS[name], MEAN, STD).eval()
    manifest = {
        'format': 1, 'name': name, 'architecture': PRESETS[name],
        'input': {**INPUT, 'mean': MEAN, 'std': STD},
        'action': {'names': list(AXES), 'unit': UNIT, 'limits': dict.fromkeys(AXES, LIMIT)},
        'training': {'trained': False}}
    with folder_beside(directory.resolve()) as folder:
        weights, graph = folder / WEIGHTS, folder / graph_name('fp32')
        save_file(network.state_dict(), weights)
        write_step_file(network, graph, InputSpec(**INPUT), name, weights)
        return write_bundle(directory, manifest, {path.name: path for path in (weights, graph)})
