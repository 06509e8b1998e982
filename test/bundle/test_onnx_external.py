"""External weights of an ONNX file are found wherever a tensor may be; noise is refused."""

import contextlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from vla_nav_node.bundle.bundle import SHIPPED
from vla_nav_node.bundle.onnx_external import external_files, NotOnnx

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
from onnx import helper, numpy_helper, TensorProto  # noqa: E402, I100


def outside(location):
    """Return a tensor whose values are in another file."""
    tensor = numpy_helper.from_array(np.ones(3, np.float32), 'w')
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (('offset', '0'), ('location', location), ('length', '12')):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(nodes=(), tensors=()):
    """Return a graph."""
    return helper.make_graph(list(nodes), 'g', [], [], list(tensors))


def constant(location):
    """Return a node with an external tensor."""
    return helper.make_node('Constant', [], ['y'], value=outside(location))


def sparse(location):
    """Return a sparse tensor with external values."""
    return helper.make_sparse_tensor(outside(location), numpy_helper.from_array(
        np.zeros(3, np.int64)), [9])


def models():
    """Return a model for each place of a tensor, by the expected names."""
    within = helper.make_node('If', ['c'], ['y'], then_branch=graph([constant('then')]),
                              else_branch=graph(tensors=[outside('else')]))
    many = helper.make_node('X', [], ['y'])
    many.attribute.add(name='many', type=onnx.AttributeProto.TENSORS).tensors.append(outside('t'))
    many.attribute.add(name='graphs', type=onnx.AttributeProto.GRAPHS).graphs.append(
        graph(tensors=[outside('g')]))
    many.attribute.add(name='s', type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.CopyFrom(
        sparse('s'))
    thin = graph()
    thin.sparse_initializer.append(sparse('sparse'))
    with_function = helper.make_model(graph())
    with_function.functions.append(helper.make_function(
        'd', 'f', [], ['y'], [constant('function')], [helper.make_opsetid('', 17)]))
    training = helper.make_model(graph())
    training.training_info.add().algorithm.CopyFrom(graph(tensors=[outside('training')]))
    return {'w.bin': helper.make_model(graph(tensors=[outside('w.bin'), outside('w.bin')])),
            '../up': helper.make_model(graph([constant('../up')])),
            'then else': helper.make_model(graph([within])),
            't g s': helper.make_model(graph([many])), 'sparse': helper.make_model(thin),
            'function': with_function, 'training': training, '': helper.make_model(graph())}


@pytest.mark.parametrize('names, model', models().items())
def test_every_place_of_a_tensor_is_looked_at(tmp_path, names, model):
    (tmp_path / 'm.onnx').write_bytes(model.SerializeToString())
    assert sorted(external_files(tmp_path / 'm.onnx')) == sorted(names.split())


def test_graphs_of_ours_read_nothing_else():
    for path in SHIPPED.glob('*.onnx'):
        assert external_files(path) == []


SOUND = models()['then else'].SerializeToString()


@given(st.binary(max_size=300) | st.integers(0, len(SOUND)).map(lambda at: SOUND[:at])
       | st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)).map(
           lambda one: SOUND[:one[0]] + bytes([one[1]]) + SOUND[one[0] + 1:]))
@settings(max_examples=300, deadline=None)
def test_what_protobuf_reads_is_read_and_what_it_refuses_is_refused(tmp_path_factory, content):
    """A file that a runtime opens must not count as broken."""
    path = tmp_path_factory.mktemp('noise') / 'm.onnx'
    path.write_bytes(content)
    model = onnx.ModelProto()
    readable = False
    with contextlib.suppress(Exception):
        model.ParseFromString(content)
        readable = True
    if readable:
        external_files(path)
        return
    with contextlib.suppress(NotOnnx):
        external_files(path)


def test_messages_in_one_another_without_end_are_refused(tmp_path):
    inner = b''
    for _ in range(200):  # graph -> node -> attribute -> graph ...
        for field in (6, 5, 1):
            inner = bytes([field << 3 | 2]) + _varint(len(inner)) + inner
    (tmp_path / 'm.onnx').write_bytes(b'\x3a' + _varint(len(inner)) + inner)
    with pytest.raises(NotOnnx, match='endlessly nested'):
        external_files(tmp_path / 'm.onnx')


def _varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found) + bytes([number])
