"""What runs in which type: read from the output of TensorRT's inspector, in all its forms."""

import json

from hypothesis import given, strategies as st
import pytest
from vla_nav_node.backends.tensorrt.engine_layers import (
    precision_problem, precisions_of, read_layers)
from vla_nav_node.errors import BackendError

SHAPE = [1, 16, 14, 14]


def tensor(text, dims=None, **more):
    """Return a tensor as TensorRT 8.2 to 10 describe it."""
    return {'Name': 't', 'Location': 'Device', 'Dimensions': dims or SHAPE,
            'Format/Datatype': text, **more}


def tensor_11(kind, dims=None):
    """Return one as TensorRT 11 does: the type has a field of its own."""
    return {'Name': 't', 'Location': 'Device', 'Dimensions': dims or SHAPE,
            'Format': 'Row major linear FP32 format (kLINEAR)', 'Datatype': kind}


def convolution(text, weights, tactic='', kind='CaskConvolution'):
    """Return a convolution as TensorRT 8 describes it."""
    return {'Name': 'Conv_0 + Relu_1', 'LayerType': kind, 'Inputs': [tensor(text)],
            'Outputs': [tensor(text)], 'ParameterType': 'Convolution', 'Kernel': [3, 3],
            'Weights': {'Type': weights, 'Count': 432}, 'Bias': {'Type': weights, 'Count': 16},
            'Activation': 'RELU', 'TacticName': tactic, 'TacticValue': '0x1'}


def gemm(kind, tactic='', name='gemm_myl0_1', make=tensor):
    """Return a matrix product as TensorRT 10 does; its factors are scalars of another type."""
    return {'Name': name, 'LayerType': 'gemm', 'Inputs': [
        make(kind, [1, 128]), make(kind, [128, 512]), make('Float', [1]), make('Float', [1])],
        'Outputs': [make(kind, [1, 512])], 'TacticName': tactic, 'StreamId': 0,
        'Metadata': '[ONNX Layer: /network/MatMul]'}


REFORMAT = {'Name': 'Reformatting CopyNode for Input Tensor 0 to Conv_0', 'LayerType': 'Reformat',
            'Inputs': [tensor('Row major linear FP32')],
            'Outputs': [tensor('Channel major FP16 format where channel % 4 == 0')],
            'ParameterType': 'Reformat', 'Origin': 'REFORMAT', 'TacticValue': '0x0'}
POINTWISE = {'Name': '__myl_MulSigmTanhAddMul_myl0_4', 'LayerType': 'kgen',
             'Inputs': [tensor('Half', [1, 512]), tensor('Float', [1, 128])],
             'Outputs': [tensor('Float', [1, 128])], 'StreamId': 0,
             'TacticName': '__myl_MulSigmTanhAddMul_0xabc', 'Metadata': ''}
FUSED = {'Name': '__myl_FcAddRelu_myl0_9', 'LayerType': 'kgen', 'Inputs': [tensor('Half', [1, 8])],
         'Outputs': [tensor('Half', [1, 8])], 'TacticName': '__myl_FcAddRelu_0xdef'}
CONCATENATION = {'Name': '__myl_ConcCast_myl0_2', 'LayerType': 'kgen',
                 'Inputs': [tensor('Float', [1, 8])], 'Outputs': [tensor('Float', [1, 16])]}
MYELIN = {'Name': '{ForeignNode[onnx::MatMul_1...Concat_9]}', 'LayerType': 'Myelin',
          'Inputs': [tensor('Row major linear FP32', [1, 1, 128])],
          'Outputs': [tensor('Row major linear FP32', [1, 2])], 'TacticValue': '0x0'}
FP16_8 = 'Channel major FP16 format where channel % 8 == 0'
INT8_32 = 'Thirty-two wide channel vectorized row major Int8 format'
XMMA = 'sm80_xmma_gemm_{}_nn_n_tilesize32x32x64_stage3_warpsize2x1x2_tensor16x8x8'


def found(*layers, **more):
    """Read layers as an engine's."""
    return precisions_of(read_layers(json.dumps({'Layers': list(layers), 'Bindings': [], **more})))


@pytest.mark.parametrize('layer, runs_in', [
    (convolution('Row major linear FP32', 'Float'), 'fp32'),
    (convolution(FP16_8, 'Half', 'sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc'),
     'fp16'),
    (convolution(FP16_8, 'Half', kind='CaskConvActPool'), 'fp16'),
    (convolution(INT8_32, 'Int8', 'sm80_xmma_fprop_implicit_gemm_i8i8_i8i32_f32_nchw_vect_c_32'),
     'int8'),
    (gemm('Half'), 'fp16'), (gemm('Float'), 'fp32'), (gemm('Int8'), 'int8'),
    (gemm('BFloat16'), 'bf16'), (gemm('FP8'), 'fp8'),
    (gemm('Float', XMMA.format('f32f32_tf32f32_f32')), 'tf32'),
    (gemm('Float', XMMA.format('f32f32_f32f32_f32')), 'fp32'),
    # A kernel's name counts for more than what a fused residual brings in.
    (gemm('Half', XMMA.format('f32f32_f32f32_f32')), 'fp32'),
    (gemm('Half', make=tensor_11), 'fp16'),
    (gemm('N/A due to dynamic shapes'), 'fp32'),  # only its factors tell
    (FUSED, 'fp16')])
def test_a_product_is_counted_by_what_it_multiplies(layer, runs_in):
    assert found(layer).products == {runs_in: 1}


@pytest.mark.parametrize('layer', [REFORMAT, POINTWISE, CONCATENATION])
def test_what_only_moves_or_adds_is_no_product(layer):
    assert (found(layer).products, found(layer).others) == ({}, 1)


def test_a_part_that_does_not_tell_is_counted_as_that():
    assert found(MYELIN).opaque == 1
    assert '1 fused parts of unknown types' in str(found(MYELIN))


def test_it_is_told_in_words():
    message = str(found(REFORMAT, convolution(FP16_8, 'Half'), gemm('Half'), gemm('Float'),
                        POINTWISE))
    assert message == '2 of 3 products in fp16, 1 of 3 products in fp32; 2 other layers'


@pytest.mark.parametrize('layers, asked, graph, right', [
    ([gemm('Half'), POINTWISE, REFORMAT], 'fp16', {'fp16': 1}, True),
    ([gemm('Float'), POINTWISE], 'fp16', {'fp16': 1}, False),  # the silent fp32
    ([gemm('Half'), gemm('Float')], 'fp16', {'fp16': 2}, False),
    ([gemm('Half'), gemm('Float')], 'fp16', {'fp16': 1, 'fp32': 1}, True),  # it is fp32 there
    ([gemm('Half'), *[gemm('Float')] * 3], 'fp16', {'fp16': 1, 'fp32': 3}, False),  # mostly not
    ([gemm('Half'), gemm('Float', XMMA.format('f32f32_tf32f32_f32'))], 'fp16', {}, False),
    ([POINTWISE], 'fp16', {}, False),
    ([MYELIN], 'fp16', {'fp16': 4}, True),  # TensorRT 8 does not tell: reported, not refused
    ([MYELIN, gemm('Float')], 'fp16', {'fp16': 4}, False),
    ([gemm('Float')], 'fp32', {'fp32': 1}, True),
    ([gemm('Float', XMMA.format('f32f32_tf32f32_f32'))], 'fp32', {'fp32': 1}, False),
    ([gemm('Float'), gemm('Half')], 'fp32', {'fp32': 2}, False),
    ([gemm('Int8'), gemm('Float')], 'int8', {'int8': 1, 'fp32': 1}, True),
    ([gemm('Float'), gemm('Half')], 'int8', {'int8': 1}, False)])
def test_an_engine_that_is_not_what_was_asked_is_found_out(layers, asked, graph, right):
    problem = precision_problem(found(*layers), asked, graph)
    assert (problem == '') == right
    assert right or f'asked for {asked}' in problem


@pytest.mark.parametrize('text', [
    '', 'no JSON', '[]', '{}', 'null', '3', '{"Layers": null}', '{"Layers": {"a": 1}}',
    '[' * 100_000])
def test_what_is_no_list_of_layers_is_refused(text):
    with pytest.raises(BackendError, match='lists no layers'):
        read_layers(text)


def test_an_engine_without_details_is_refused():
    with pytest.raises(BackendError, match='have no types.*DETAILED'):
        read_layers(json.dumps({'Layers': ['/conv/Conv + /relu/Relu', '{ForeignNode[a...b]}']}))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(['Name', 'LayerType', 'Inputs', 'Outputs', 'Weights',
                                         'Type', 'Format/Datatype', 'Datatype', 'TacticName']),
                        inner, max_size=5), max_leaves=12)


@given(layers=st.lists(JSON, max_size=4))
def test_whatever_the_inspector_writes_it_is_counted_or_refused(layers):
    try:
        counted = found(*layers)
    except BackendError:
        assert not all(isinstance(layer, dict) for layer in layers)
    else:
        assert sum(counted.products.values()) + counted.opaque + counted.others == len(layers)
        assert str(counted)
        for asked in ('fp32', 'fp16', 'int8'):
            precision_problem(counted, asked, {})


@given(text=st.text())
def test_any_text_is_read_or_refused(text):
    try:
        assert read_layers(text) == []
    except BackendError as error:
        assert 'layers' in str(error)


@given(kind=st.sampled_from(['CaskConvolution', 'gemm', 'MatrixMultiply', 'CaskConvActPool',
                             'FusedConvActConvolution', 'CaskGemmMatrixMultiply']),
       types=st.lists(st.sampled_from(['Float', 'Half', 'Int8', 'Row major linear FP32', FP16_8,
                                       INT8_32]), min_size=1, max_size=3))
def test_a_product_runs_in_the_narrowest_of_what_goes_in(kind, types):
    order = {'Int8': 0, INT8_32: 0, 'Half': 1, FP16_8: 1, 'Float': 2, 'Row major linear FP32': 2}
    expected = ['int8', 'fp16', 'fp32'][min(order[one] for one in types)]
    layer = {'Name': 'a', 'LayerType': kind, 'Inputs': [tensor(one) for one in types]}
    assert found(layer).products == {expected: 1}
