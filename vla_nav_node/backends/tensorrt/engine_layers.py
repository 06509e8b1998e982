"""In which type the layers of a built engine really run, as TensorRT's inspector tells."""

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
# a generated kernel (kgen) bears the names of what was fused into it.
KIND = re.compile('conv(?!ert)|gem[mv]|matrixmultiply|matmul|fullyconnected', re.IGNORECASE)
TACTIC = re.compile('gem[mv]|fprop|xmma_|cutlass|implicit_conv', re.IGNORECASE)
FUSED = re.compile('__myl_(?:[A-Z][a-z]*)*?(?:Fc|Gemm|Conv|MatMul)(?![a-z])')
# What a kernel's name tells of the operands, such as sm80_xmma_gemm_f16f16_f16f32_f32_tn_n.
OPERANDS = re.compile('_(f16f16|bf16bf16|i8i8|e4m3e4m3|f32f32)')
OPERAND_TYPES = {'f16f16': 'fp16', 'bf16bf16': 'bf16', 'i8i8': 'int8', 'e4m3e4m3': 'fp8',
                 'f32f32': 'fp32'}
# A part that was compiled as one, of which only the borders are told.
OPAQUE = re.compile('^Myelin$|ForeignNode', re.IGNORECASE)
WIDTHS = ('fp4', 'int4', 'fp8', 'int8', 'fp16', 'bf16', 'tf32', 'fp32')  # from narrow to wide
WIDE = ('tf32', 'fp32')


class Layer(NamedTuple):
    """One layer of an engine."""

    name: str
    is_product: bool  # multiplies by weights
    is_opaque: bool  # several layers in one, whose inside is not told
    runs_in: str  # a type of WIDTHS, '' where it is not told


class Precision(NamedTuple):
    """What the layers of an engine run in."""

    products: Dict[str, int]  # number of products by type
    opaque: int  # parts that do not tell
    others: int

    def __str__(self) -> str:
        """Return it in words, for diagnostics."""
        parts = [f'{count} of {sum(self.products.values())} products in {kind or "?"}'
                 for kind, count in sorted(self.products.items())]
        if self.opaque:
            parts.append(f'{self.opaque} fused parts that do not tell')
        return ', '.join(parts or ['no products']) + f'; {self.others} other layers'


def read_layers(text: str) -> List[Layer]:
    """
    Read what IEngineInspector.get_engine_information(JSON) gives.

    Raise BackendError if it is something else, or an engine that was built without details.
    """
    try:
        layers = json.loads(text)['Layers']
    except (ValueError, TypeError, LookupError, RecursionError):
        layers = None
    if not isinstance(layers, list):
        raise BackendError("TensorRT's inspector tells nothing of this engine's layers",
                           'a list of layers in JSON')
    if not all(isinstance(layer, dict) for layer in layers):
        raise BackendError("this engine's layers do not tell their types",
                           'an engine that was built with profiling verbosity DETAILED')
    return [_layer(layer) for layer in layers]


def precision_of(layers: Iterable[Layer]) -> Precision:
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
    return Precision(dict(products), opaque, others)


def problem_of(found: Precision, asked: str, graph: Mapping[str, int]) -> str:
    """
    Give why an engine is not of the precision that was asked for, '' if it is.

    `graph` counts the products of the graph by type: those that are fp32 there may be fp32 here,
    though not most of them; an int8 is a mixture, of which one product is enough. What does not
    tell (opaque parts) is not held against the engine; `str(found)` says so.
    """
    count = found.products
    narrow = {kind: number for kind, number in count.items() if kind and kind not in WIDE}
    wide = sum(count.get(kind, 0) for kind in WIDE)
    if asked == 'fp32' and (narrow or count.get('tf32')):
        return f'asked for fp32, but {found}'
    if asked == 'fp16' and wide > graph.get('fp32', 0):
        return f'asked for fp16, but {found} (by the graph, {graph.get("fp32", 0)} are wide)'
    least = (sum(count.values()) + 1) // 2 if asked == 'fp16' else 1
    if asked != 'fp32' and not found.opaque and count.get(asked, 0) < max(least, 1):
        return f'asked for {asked}, but {found}'
    return ''


def _layer(layer: Mapping[str, Any]) -> Layer:
    name, kind, tactic = (_text(layer, key) for key in ('Name', 'LayerType', 'TacticName'))
    is_product = bool(KIND.search(kind) or TACTIC.search(tactic) or FUSED.search(name)
                      or FUSED.search(tactic))
    is_opaque = not is_product and bool(OPAQUE.search(kind) or OPAQUE.search(name))
    return Layer(name, is_product, is_opaque, _runs_in(layer, tactic))


def _runs_in(layer: Mapping[str, Any], tactic: str) -> str:
    """Return the type a layer multiplies in: its kernel's, else the narrowest of what goes in."""
    operands = OPERANDS.search(tactic)
    types: Set[str] = set()
    for tensor in _tensors(layer.get('Inputs')):
        types |= _types_in(_type_text(tensor))
    weights = layer.get('Weights')
    if isinstance(weights, dict):
        types |= _types_in(_text(weights, 'Type'))
    narrowest = OPERAND_TYPES[operands.group(1)] if operands else next(
        (kind for kind in WIDTHS if kind in types), '')
    # fp32 that is multiplied in TF32 looks like fp32 but for the kernel's name.
    return 'tf32' if narrowest == 'fp32' and 'tf32' in tactic.lower() else narrowest


def _tensors(listed: Any) -> List[Mapping[str, Any]]:
    return [tensor for tensor in listed if isinstance(tensor, dict)] \
        if isinstance(listed, list) else []


def _type_text(tensor: Mapping[str, Any]) -> str:
    """Return where a tensor's type is told: one field up to TensorRT 10, one of two in 11."""
    for key in ('Datatype', 'DataType', 'Format/Datatype', 'Format/DataType'):
        if isinstance(tensor.get(key), str):
            return str(tensor[key])
    return ''


def _types_in(text: str) -> Set[str]:
    return {TYPES[word.lower()] for word in WORD.findall(text) if word.lower() in TYPES}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key, '')
    return value if isinstance(value, str) else ''
