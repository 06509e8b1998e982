"""What no shape tells of a network and every action depends on: a structure has to say it."""

from typing import Any, Dict, Iterator, List, Mapping

# Arguments of torch.nn's layers, each with torch's own default; None where torch has none either.
ASKED: Dict[str, Dict[str, Any]] = {
    'Conv2d': {'stride': 1, 'padding': 0, 'dilation': 1, 'padding_mode': 'zeros'},
    'BatchNorm2d': {'eps': 1e-5}, 'BatchNorm1d': {'eps': 1e-5}, 'LayerNorm': {'eps': 1e-5},
    'MaxPool2d': {'kernel_size': None, 'stride': 'kernel_size', 'padding': 0, 'dilation': 1,
                  'ceil_mode': False},
    'AvgPool2d': {'kernel_size': None, 'stride': 'kernel_size', 'padding': 0, 'ceil_mode': False,
                  'count_include_pad': True},
    'AdaptiveAvgPool2d': {'output_size': None},
    'LeakyReLU': {'negative_slope': 0.01}, 'ELU': {'alpha': 1.0}, 'GELU': {'approximate': 'none'},
    'RNN': {'nonlinearity': 'tanh'}}
PLAIN = 'plain_sequence'
# What that key stands for: skip connections, permutations, functions have no weights to show.
PLAIN_MEANS = ('true: forward() gives each layer to the next one and nowhere else, and does no '
               'more than these layers do')


def unsaid(structure: Mapping[str, Any]) -> List[str]:
    """Return the places where a structure from a file leaves out what it has to say."""
    said = [] if PLAIN in structure else [f'{PLAIN} ({PLAIN_MEANS})']
    said += [] if 'head' in structure else ['head']
    for part in ('encoder', 'head'):
        for place, layer in enumerate(structure.get(part, ())):
            if isinstance(layer, dict):
                said += [f'{part}.{place}.{told}' for told in missing(layer['type'], layer)]
    return said


def missing(kind: str, layer: Mapping[str, Any]) -> Iterator[str]:
    """Return the arguments that a layer of this type leaves out, with torch's defaults."""
    for name, default in ASKED.get(kind, {}).items():
        if name not in layer:
            yield name if default is None else f'{name} (torch: {shown(default)})'


def shown(default: Any) -> str:
    """Return a default as YAML has it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def defaults_of(kind: str) -> str:
    """Say torch's defaults of what is asked of a type, for a comment."""
    told = [f'{name} {shown(default)}' for name, default in ASKED.get(kind, {}).items()
            if default is not None]
    return f'; torch: {", ".join(told)}' if told else ''
