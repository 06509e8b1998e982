"""In which type the layers of a built engine really run, read from TensorRT's inspector."""

from collections import Counter
import json
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Set

from ...errors import BackendError

# How TensorRT 8 to 11 write types: 'Row major linear FP32', 'Half', 'Int8', ...
TYPES = {
    'fp32': 'fp32', 'float': 'fp32', 'float32': 'fp32', 'tf32': 'tf32',
    'fp16': 'fp16', 'half': 'fp16', 'float16': 'fp16',
    'bf16': 'bf16', 'bfloat16': 'bf16', 'fp8': 'fp8', 'e4m3': 'fp8', 'fp4': 'fp4',
    'int8': 'int8', 'int4': 'int4'}
WORD = re.compile('[A-Za-z][A-Za-z0-9]*')
# Layers that multiply by weights. TensorRT names them by their kernels, of which there are many;
# the name of a generated kernel (kgen) lists what was fused into it.
PRODUCT_LAYER = re.compile('conv(?!ert)|gem[mv]|matrixmultiply|matmul|fullyconnected',
                           re.IGNORECASE)
PRODUCT_TACTIC = re.compile('gem[mv]|fprop|xmma_|cutlass|implicit_conv', re.IGNORECASE)
FUSED_PRODUCT = re.compile('__myl_(?:[A-Z][a-z]*)*?(?:Fc|Gemm|Conv|MatMul)(?![a-z])')
# The types of the operands in a kernel's name, such as sm80_xmma_gemm_f16f16_f16f32_f32_tn_n.
OPERANDS = re.compile('_(f16f16|bf16bf16|i8i8|e4m3e4m3|f32f32)')
OPERAND_TYPES = {'f16f16': 'fp16', 'bf16bf16': 'bf16', 'i8i8': 'int8', 'e4m3e4m3': 'fp8',
                 'f32f32': 'fp32'}
# A part that was compiled as one; the inspector shows only its inputs and outputs.
OPAQUE = re.compile('^Myelin$|ForeignNode', re.IGNORECASE)
WIDTHS = ('fp4', 'int4', 'fp8', 'int8', 'fp16', 'bf16', 'tf32', 'fp32')  # from narrow to wide
WIDE = ('tf32', 'fp32')


class Layer(NamedTuple):
    """A layer of an engine."""

    is_product: bool  # multiplies by weights
    is_opaque: bool  # several layers in one, of unknown types
    runs_in: str  # a type of WIDTHS, '' if unknown


class ProductPrecisions(NamedTuple):
    """The number of products by the type that they run in, for an engine or a session."""

    products: Dict[str, int]
    opaque: int  # fused parts of unknown types
    others: int

    def __str__(self) -> str:
        """Return it for diagnostics."""
        parts = [f'{count} of {sum(self.products.values())} products in {kind or "?"}'
                 for kind, count in sorted(self.products.items())]
        if self.opaque:
            parts.append(f'{self.opaque} fused parts of unknown types')
        return ', '.join(parts or ['no products']) + f'; {self.others} other layers'


def read_layers(text: str) -> List[Layer]:
    """
    Read what IEngineInspector.get_engine_information(JSON) returns.

    Raise BackendError if it is something else, or an engine that was built without details.
    """
    try:
        layers = json.loads(text)['Layers']
    except (ValueError, TypeError, LookupError, RecursionError):
        layers = None
    if not isinstance(layers, list):
        raise BackendError("TensorRT's inspector lists no layers of this engine",
                           'a list of layers in JSON')
    if not all(isinstance(layer, dict) for layer in layers):
        raise BackendError("this engine's layers have no types",
                           'an engine that was built with profiling verbosity DETAILED')
    return [_layer(layer) for layer in layers]


def precisions_of(layers: Iterable[Layer]) -> ProductPrecisions:
    """Count the layers by what they run in."""
    products: 'Counter[str]' = Counter()
    opaque = others = 0
    for layer in layers:
        if layer.is_product:
            products[layer.runs_in] += 1
        elif layer.is_opaque:
            opaque += 1
        else:
            others += 1
    return ProductPrecisions(dict(products), opaque, others)


def precision_problem(found: ProductPrecisions, asked: str, graph: Mapping[str, int]) -> str:
    """
    Return why an engine is not of the precision that was asked for, '' if it is.

    `graph` counts the products of the graph by type. Products that are fp32 there may be fp32
    here, unless they are the majority. int8 is a mixture, of which one product is enough. Opaque
    parts are not counted against the engine; `str(found)` mentions them.
    """
    count = found.products
    narrow = {kind: number for kind, number in count.items() if kind and kind not in WIDE}
    wide = sum(count.get(kind, 0) for kind in WIDE)
    if asked == 'fp32' and (narrow or count.get('tf32')):
        return f'asked for fp32, but {found}'
    if asked == 'fp16' and wide > graph.get('fp32', 0):
        return f'asked for fp16, but {found} ({graph.get("fp32", 0)} are fp32 in the graph)'
    least = (sum(count.values()) + 1) // 2 if asked == 'fp16' else 1
    if asked != 'fp32' and not found.opaque and count.get(asked, 0) < max(least, 1):
        return f'asked for {asked}, but {found}'
    return ''


def _layer(layer: Mapping[str, Any]) -> Layer:
    name, kind, tactic = (_text(layer, key) for key in ('Name', 'LayerType', 'TacticName'))
    is_product = bool(PRODUCT_LAYER.search(kind) or PRODUCT_TACTIC.search(tactic)
                      or FUSED_PRODUCT.search(name) or FUSED_PRODUCT.search(tactic))
    is_opaque = not is_product and bool(OPAQUE.search(kind) or OPAQUE.search(name))
    return Layer(is_product, is_opaque, _runs_in(layer, tactic))


def _runs_in(layer: Mapping[str, Any], tactic: str) -> str:
    """Return the type a layer multiplies in: its kernel's, else the narrowest of its inputs."""
    operands = OPERANDS.search(tactic)
    if operands:
        runs_in = OPERAND_TYPES[operands.group(1)]
    else:
        inputs, weights = layer.get('Inputs'), layer.get('Weights')
        texts = [_type_text(tensor) for tensor in (inputs if isinstance(inputs, list) else ())
                 if isinstance(tensor, dict)]
        if isinstance(weights, dict):
            texts.append(_text(weights, 'Type'))
        types: Set[str] = {TYPES[word] for text in texts for word in WORD.findall(text.lower())
                           if word in TYPES}
        runs_in = next((kind for kind in WIDTHS if kind in types), '')
    # fp32 multiplied in TF32 looks like fp32 except for the kernel's name.
    return 'tf32' if runs_in == 'fp32' and 'tf32' in tactic.lower() else runs_in


def _type_text(tensor: Mapping[str, Any]) -> str:
    """Return a tensor's type: in one field up to TensorRT 10, in one of two in 11."""
    keys = ('Datatype', 'DataType', 'Format/Datatype', 'Format/DataType')
    return next((tensor[key] for key in keys if isinstance(tensor.get(key), str)), '')


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key, '')
    return value if isinstance(value, str) else ''
