"""Tell what a checkpoint holds that a bundle cannot: the backbones people put before an RNN."""

import re
from typing import Dict, List

from .checkpoint import Checkpoint, drop_hint
from .containers import PARTS
from .paths import listed
from ...errors import CheckpointError

# What a name gives away, the surest sign first; each tensor counts for the first that fits.
SIGNS = (
    ('a Kosmos-2 backbone', r'kosmos|image_to_text_projection'),
    ('a PaliGemma backbone', r'paligemma|multi_modal_projector'),
    ('a SigLIP backbone', r'siglip'),
    ('a DINO backbone', r'dino'),
    ('a CLIP backbone', r'(^|[._])clip|logit_scale|visual_projection|visual\.transformer'
                        r'|vision_model\.embeddings\.class_embedding'),
    ('a text embedding', r'embed_tokens|token_embedding|word_embeddings'
                         r'|(^|[._])(text|language|instruction|lm_head)'),
    ('a transformer', r'attn|attention|transformer|(encoder|decoder)\.layers?\.\d|resblocks'
                      r'|blocks\.\d+\.(attn|mlp|norm)|pos_embed|position_embedding|cls_token'),
    ('a residual network (ResNet)', r'layer\d\.\d+\.(conv\d|bn\d|downsample)'),
    ('a MobileNet or an EfficientNet', r'features\.\d+\.(conv|block)\.'),
)


def refuse_foreign(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless the tensors are of a CNN + recurrent policy, by their names."""
    found = _groups(checkpoint)
    backbones = [what for what in found if what.startswith('a ')]
    missing = [part for part in PARTS if part not in found]
    if not backbones and not missing:
        return
    told = [f'{what} ({names[0]}, {len(names)} tensor{"s" * (len(names) > 1)})'
            for what, names in found.items()]
    without = f' and no {", no ".join(missing)}' if missing else ''
    hint = drop_hint(checkpoint, [f'{part}. is missing' for part in missing])
    raise CheckpointError(
        f'{checkpoint.path.name} has {listed(told, 12)}{without}',
        'a convolutional encoder, one recurrent layer and an action head, named '
        + ', '.join(f'{part}.*' for part in PARTS),
        _fix(backbones, missing) + hint)


def _groups(checkpoint: Checkpoint) -> Dict[str, List[str]]:
    """Return the names of the tensors by what they seem to be, backbones first."""
    groups: Dict[str, List[str]] = {what: [] for what, _ in SIGNS}
    for name in checkpoint.tensors:
        top = name.split('.')[0]
        sign = next((what for what, pattern in SIGNS if re.search(pattern, name.lower())), '')
        groups.setdefault(sign or top, []).append(name)
    return {what: names for what, names in groups.items() if names}


def _fix(backbones: List[str], missing: List[str]) -> str:
    if backbones:
        return ('train a policy of that form, for instance with the large one as its teacher; '
                'there is no way to drive this one')
    return f'if they have other names here, --map NAME={missing[0]}'
