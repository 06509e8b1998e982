"""
The keys of a manifest, at every depth: a key that no code reads is a mistake, or worse.

The tables hold all that this package writes. None is a plain value (a number, text, flag, null or
a list of these); '*' is any name; FIGURES are measurements by others, and have to stay plain.
"""

from dataclasses import fields
from typing import Any, Dict, Iterator

from ..vision.preprocess import InputSpec

FIGURES = object()
FIGURES_DEPTH = 3  # nested mappings
LONGEST_LIST = 1000  # plain values
LONGEST_KEY = 100  # characters
PLAIN = 'is not a number, text or list of these'


def _of(names: str, **others: Any) -> Dict[str, Any]:
    """Return a table of plain values by their names, and of `others`."""
    return {**dict.fromkeys(names.split()), **others}


# Every argument of torch.nn's layers that network.LAYERS accepts.
LAYER = _of(
    'type in_channels out_channels kernel_size stride padding dilation groups bias padding_mode '
    'in_features out_features num_features eps momentum affine track_running_stats '
    'normalized_shape elementwise_affine return_indices ceil_mode count_include_pad '
    'divisor_override output_size start_dim end_dim inplace negative_slope alpha approximate p')
TRAINING = _of(
    'trained loss val_mae epoch',
    plan=_of('seed scenes epochs rounds first_episodes episodes first_steps steps last_steps'),
    stages=[_of('stage pictures round driver episodes hard steps action_mae hint_mae',
                outcomes=_of('*'), seen_r2=_of('loss action pose cup things'))],
    seeds=_of('first last'), imported=FIGURES)
QUANTIZED = _of(
    'of notes steps bytes onnxruntime vla_nav_node calibrated',
    drift=_of('step_mean step_max rollout_mean rollout_max state'), here=_of('fp32_ms int8_ms'),
    layers=[_of('name weights as why')], frames=_of('source count seed'))
AXES = {axis: _of('mean max') for axis in ('vx', 'vy')}
REACHED = _of('reached interval95')
VERDICT = _of(
    'passed problems manifest', files=_of('*'), gates=_of('max mean state lost episodes'),
    one_step=_of('state', **AXES), rollout=_of('steps thirds growth', **AXES),
    closed_loop=_of('seeds episodes lost lost_interval95 only_reference only_this mcnemar_p',
                    reference=REACHED, success=REACHED, path_deviation_m=_of('mean max')),
    frames=_of('source frames'), ran_on=_of('library version provider device'))
EVALUATION = _of('seeds scenario verdict', trials=[_of(
    'trial driver backend frame_rate frame_loss episodes success interval95 contact timeout '
    'median_time_s action_mae')])
KEYS: Dict[str, Any] = _of(
    'format name',
    architecture={'encoder': [LAYER], 'head': [LAYER],
                  'recurrent': _of('type input_size hidden_size num_layers bias nonlinearity')},
    input=_of('mean std', **dict.fromkeys(field.name for field in fields(InputSpec))),
    action=_of('names unit', limits=_of('linear_x linear_y')),
    training=TRAINING, quantization={'*': QUANTIZED},
    verification={'tolerance': _of('*'), 'verdicts': {'*': {'*': VERDICT}},
                  'closed_loop': EVALUATION, 'proof': FIGURES},
    files={'*': _of('sha256 bytes')})


def unknown_keys(value: Any, known: Any = KEYS, place: str = '') -> Iterator[str]:
    """Yield a problem for each unknown key, and for values nested where a plain one belongs."""
    if known is FIGURES:
        yield from _nested_figures(value, place)
    elif isinstance(known, list) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from unknown_keys(item, known[0], f'{place}.{number}')
    elif isinstance(known, dict) and isinstance(value, dict):
        to_layer = f' to {str(value["type"])[:LONGEST_KEY]}' if 'type' in value else ''
        for key, inner in value.items():
            below = f'{place}.{str(key)[:LONGEST_KEY]}'.lstrip('.')
            if _is_name(key) and (key in known or '*' in known):
                yield from unknown_keys(inner, known.get(key, known.get('*')), below)
            else:
                yield f'{below} is unknown{to_layer}'
    elif not _is_plain(value):
        yield f'{place} {PLAIN}'


def _nested_figures(value: Any, place: str, depth: int = FIGURES_DEPTH) -> Iterator[str]:
    if isinstance(value, dict) and depth and all(map(_is_name, value)):
        for key, inner in value.items():
            yield from _nested_figures(inner, f'{place}.{key}', depth - 1)
    elif not _is_plain(value):
        yield f'{place} {PLAIN}, in at most {FIGURES_DEPTH} nested mappings'


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= LONGEST_KEY


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= LONGEST_LIST and all(map(_is_scalar, value))
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
