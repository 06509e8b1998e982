"""A policy whose layers are worth int8."""

from safetensors.torch import save_file
import tiny
import torch
from vla_nav_node.backends.torch.network import PolicyNetwork
from vla_nav_node.bundle.bundle import Bundle, write_bundle
from vla_nav_node.convert.export.step_file import write_step_file
from vla_nav_node.vision.preprocess import InputSpec

HIDDEN = 64


def architecture(kind):
    return {
        'encoder': [
            {'type': 'Conv2d', 'in_channels': 3, 'out_channels': 16, 'kernel_size': 5,
             'stride': 2, 'padding': 2}, {'type': 'ReLU'},
            {'type': 'MaxPool2d', 'kernel_size': 2},
            {'type': 'Conv2d', 'in_channels': 16, 'out_channels': 32, 'kernel_size': 3,
             'stride': 2, 'padding': 1}, {'type': 'ReLU'},
            {'type': 'Flatten'},
            {'type': 'Linear', 'in_features': 384, 'out_features': 64}, {'type': 'ReLU'}],
        'recurrent': {'type': kind, 'input_size': 64, 'hidden_size': HIDDEN, 'num_layers': 1},
        'head': [32]}


def bundle(directory, kind='LSTM', gain=1.0, mean=tiny.MEAN, layers=None) -> Bundle:
    """Write a policy whose layers are worth int8; `gain` scales its actions."""
    described = {**tiny.manifest(kind), 'architecture': layers or architecture(kind)}
    described['input'] = {**described['input'], 'mean': mean}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PolicyNetwork(described['architecture'], mean, tiny.STD).eval()
    with torch.no_grad():
        network.actions[-1].weight.mul_(gain)
    files = {name: directory.with_name(name) for name in
             ('policy.safetensors', 'policy.fp32.onnx')}
    save_file(network.state_dict(), files['policy.safetensors'])
    write_step_file(network, files['policy.fp32.onnx'], InputSpec(tiny.HEIGHT, tiny.WIDTH), 'mid',
                    files['policy.safetensors'])
    return write_bundle(directory, described, files)
