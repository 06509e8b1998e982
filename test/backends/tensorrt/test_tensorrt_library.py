"""What the backend calls exists in the installed TensorRT; no GPU is needed."""

import importlib
import importlib.util

import pytest
from vla_nav_node.backends import check_machine
from vla_nav_node.backends.tensorrt.tensorrt_library import cuda_major, network_flags
from vla_nav_node.errors import BackendError

RUNTIME = {
    'Runtime': ['deserialize_cuda_engine'],
    'ICudaEngine': ['create_engine_inspector', 'create_execution_context', 'num_io_tensors',
                    'get_tensor_name', 'get_tensor_dtype', 'get_tensor_shape'],
    'IExecutionContext': ['set_tensor_address', 'execute_async_v3', 'profiler'],
    'IProfiler': ['report_layer_time'],
    'LayerInformationFormat': ['JSON'], 'DataType': ['UINT8', 'FLOAT'], 'ILogger': ['log']}
BUILDER = {
    'Builder': ['create_network', 'create_builder_config', 'build_serialized_network'],
    'OnnxParser': ['parse', 'num_errors', 'get_error'],
    'IBuilderConfig': ['profiling_verbosity', 'clear_flag', 'set_flag'],
    'ProfilingVerbosity': ['DETAILED'], 'BuilderFlag': ['TF32'],
    'INetworkDefinition': ['num_layers', 'get_layer'],
    'ILayer': ['type', 'get_input', 'precision'], 'LayerType': ['CONVOLUTION', 'MATRIX_MULTIPLY'],
    'EngineInspector': ['get_engine_information']}


@pytest.mark.skipif(bool(importlib.util.find_spec('tensorrt')), reason='TensorRT is installed')
def test_the_stub_of_the_package_index_is_told_as_that(tmp_path, monkeypatch):
    """What `pip install --no-deps tensorrt` leaves: a name in pip's list."""
    with pytest.raises(BackendError, match='tensorrt: it is not installed here'):
        check_machine('tensorrt')
    (tmp_path / 'tensorrt-11.4.0.106.dist-info').mkdir()
    (tmp_path / 'tensorrt-11.4.0.106.dist-info' / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: tensorrt\nVersion: 11.4.0.106\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendError, match=r'pip lists tensorrt 11\.4.*is empty.*stub'):
        check_machine('tensorrt')


def missing(trt, wanted):
    """Return the names of `wanted` that a module lacks."""
    return [f'{kind}.{name}' for kind, names in wanted.items() for name in names
            if not hasattr(getattr(trt, kind, None), name)]


def test_the_runtime_is_as_we_call_it():
    names = [name for name in ('tensorrt', 'tensorrt_lean') if importlib.util.find_spec(name)]
    if not names:
        pytest.skip('neither TensorRT nor its lean runtime is installed here')
    trt = importlib.import_module(names[0])
    assert missing(trt, RUNTIME) == []
    assert str(trt.DataType.UINT8).rpartition('.')[2] == 'UINT8'
    assert trt.__version__.split('.')[0] in ('8', '9', '10', '11')


def test_the_builder_is_as_we_call_it():
    trt = pytest.importorskip('tensorrt', reason='TensorRT is not installed here')
    flags, strongly_typed = network_flags(trt)
    wanted = dict(BUILDER)
    if strongly_typed:
        wanted['ILayer'] = []  # whose precision is then the graph's
        assert flags == 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    else:
        wanted['BuilderFlag'] = ['TF32', 'FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS']
        assert flags == 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH) == 1
    assert missing(trt, wanted) == []
    assert cuda_major() == 0 or cuda_major() >= 11
