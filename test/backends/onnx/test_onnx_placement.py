"""Where and in which type nodes run: real profiles of ONNX Runtime, and damaged ones."""

import json
from pathlib import Path
import resource
import tempfile
import time

from hypothesis import given, settings, strategies as st
import numpy as np
import onnx
import onnxruntime
import pytest
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.onnx import onnx_placement as placement
from vla_nav_node.backends.onnx.onnx_placement import Node, parse_profile, Placement
from vla_nav_node.backends.onnx.onnx_session import CPU, CUDA, LeftToCpu, open_session, TENSORRT
from vla_nav_node.bundle.bundle import load_bundle, write_bundle
from vla_nav_node.errors import BackendError

MODEL = Path(__file__).resolve().parents[3] / 'vla_nav_node' / 'models' / 'cup_seeker'
OTHER = 'AzureExecutionProvider'  # takes no node of any graph, and is in every wheel for a CPU
needs_other = pytest.mark.skipif(OTHER not in onnxruntime.get_available_providers(),
                                 reason=f'this onnxruntime is built without {OTHER}')


@pytest.fixture(name='bundle', scope='module')
def _bundle():
    """Return the policy that ships: it has all three precisions."""
    return load_bundle(MODEL)


@pytest.fixture(name='lie', scope='module')
def _lie(bundle, tmp_path_factory):
    """Return the same policy with the graphs of other precisions."""
    other = {'fp32': 'int8', 'fp16': 'fp32', 'int8': 'fp32'}
    described = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    return write_bundle(tmp_path_factory.mktemp('lie') / 'lie', described, {
        'policy.safetensors': bundle.file('policy.safetensors'),
        **{f'policy.{name}.onnx': bundle.file(f'policy.{inside}.onnx')
           for name, inside in other.items()}})


def profiled(path, tmp_path, *providers):
    """Open a graph with a profile, run it once, and return its placement."""
    session = open_session(onnxruntime, path, *(providers or (CPU,)), profile=tmp_path / 'p')
    placement.run_on_zeros(session)
    return placement.read_placement(session)


def products_of(path):
    """Count the products in a file that is not quantised."""
    return sum(node.op_type in ('Conv', 'Gemm', 'MatMul') for node in onnx.load(path).graph.node)


def test_a_real_profile_tells_every_product_and_its_type(bundle, tmp_path):
    path = bundle.file('policy.fp32.onnx')
    found = profiled(path, tmp_path)
    assert found.runs == 1 and {node.provider for node in found.nodes} == {CPU}
    assert found.precisions().products == {'fp32': products_of(path)}
    assert list(tmp_path.iterdir()) == []


def test_int8_is_counted_though_its_packed_weights_are_not_in_the_profile(bundle, tmp_path):
    count = profiled(bundle.file('policy.int8.onnx'), tmp_path).precisions().products
    assert count['int8'] >= 1
    assert sum(count.values()) == products_of(bundle.file('policy.fp32.onnx'))


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'int8'])
def test_the_backend_says_in_what_it_runs(bundle, precision):
    info = open_backend('onnx', bundle, precision, 'cpu').info
    # ONNX Runtime's CPU provider widens most of an fp16 graph; it says so here.
    inside = {'fp16': 'products in'}.get(precision, f'products in {precision}')
    assert inside in info.layers and 'other layers' in info.layers


@pytest.mark.parametrize('asked', ['fp32', 'int8'])
def test_a_precision_that_is_another_one_inside_is_refused(lie, asked):
    with pytest.raises(BackendError, match=f'not what its precision says: asked for {asked}, but'):
        open_backend('onnx', lie, asked, 'cpu')


def gpu_nodes(*types, provider=CUDA, kind='MatMul'):
    """Return the placement of products on a GPU."""
    return Placement([Node(f'n{number}', str(number), kind, provider, (one, one))
                      for number, one in enumerate(types)], 1)


@pytest.mark.parametrize('types, asked, message', [
    (['float16', 'float16'], 'fp16', ''), (['float16', 'float'], 'fp16', 'asked for fp16'),
    (['float', 'float'], 'fp16', 'asked for fp16'), (['float', 'float'], 'fp32', ''),
    (['float', 'float16'], 'fp32', 'asked for fp32'), (['float'], 'int8', 'asked for int8')])
def test_on_a_gpu_fp16_has_to_be_fp16(types, asked, message):
    count = gpu_nodes(*types).precisions()
    if not message:
        placement.check_precision(count, asked, on_cpu=False)
        return
    with pytest.raises(BackendError, match=message):
        placement.check_precision(count, asked, on_cpu=False)


def test_what_tensorrt_runs_as_one_is_counted_as_not_telling():
    count = gpu_nodes('uint8', provider=TENSORRT, kind='TRTKernel_graph_main_Conv_0').precisions()
    assert str(count) == '1 fused parts of unknown types; 0 other layers'
    placement.check_precision(count, 'fp16', on_cpu=False)


def test_a_node_on_the_cpu_is_named_and_so_is_a_copy_to_it():
    nodes = [*gpu_nodes('float').nodes, Node('/Gather', '7', 'Gather', CPU, ('float', 'int64')),
             Node('Memcpy', '8', 'MemcpyToHost', CUDA, ('float',))]
    with pytest.raises(BackendError) as refused:
        placement.check_placement(Placement(nodes, 1), (CUDA,))
    assert f'/Gather (Gather) on {CPU}, Memcpy (MemcpyToHost) on {CUDA}' in refused.value.found
    placement.check_placement(Placement(nodes[:1], 1), (CUDA,))
    with pytest.raises(BackendError, match='an unknown provider'):
        placement.check_placement(gpu_nodes('float', provider=''), (CUDA,))


@needs_other
def test_a_real_session_that_would_fall_back_is_refused_with_the_nodes(bundle, tmp_path):
    with pytest.raises(BackendError) as refused:
        placement.open_profiled(onnxruntime, bundle.file('policy.fp32.onnx'), [OTHER], tmp_path)
    assert f'on {CPU}' in refused.value.found and 'Gemm' in refused.value.found
    assert 'more' in refused.value.found and not isinstance(refused.value, LeftToCpu)


@needs_other
def test_the_session_that_may_fall_back_says_where_it_is(bundle, tmp_path):
    found = profiled(bundle.file('policy.fp32.onnx'), tmp_path, OTHER)
    with pytest.raises(BackendError, match=f'expected every node on {OTHER}'):
        placement.check_placement(found, (OTHER,))


@needs_other
def test_a_session_that_moves_in_mid_drive_is_found_out(bundle):
    backend = open_backend('onnx', bundle, device='cpu')
    image = np.zeros(bundle.input.shape, np.uint8)
    backend.infer(image, bundle.zero_state())
    backend._step.session.set_providers([OTHER, CPU])  # what Python's run() does to fall back
    with pytest.raises(BackendError, match=f'moved to {OTHER}, {CPU} in mid-drive'):
        backend.infer(image, bundle.zero_state())


def test_a_profile_that_could_not_be_written_is_no_proof(bundle, tmp_path):
    session = open_session(onnxruntime, bundle.file('policy.fp32.onnx'), CPU,
                           profile=tmp_path / 'gone' / 'p')
    placement.run_on_zeros(session)
    with pytest.raises(BackendError, match='wrote no profile.*room for a small file'):
        placement.read_placement(session)


def event(name='n', number='0', **args):
    """Return one run of a node as a profile has it."""
    return {'cat': 'Node', 'name': f'{name}_kernel_time', 'args': {'node_index': number, **args}}


NODES = st.lists(st.tuples(
    st.sampled_from(['MatMul', 'Conv', 'FusedGemm', 'Relu', 'Convert', 'DynamicQuantizeMatMul']),
    st.sampled_from([CPU, CUDA]), st.sampled_from(['float', 'float16', 'int8'])), min_size=1)


@settings(deadline=None)
@given(nodes=NODES, runs=st.integers(1, 4))
def test_every_node_is_counted_once_however_often_it_ran(nodes, runs):
    events = [event('same', str(number), op_name=kind, provider=provider,
                    input_type_shape=[{one: [1, 2]}])
              for number, (kind, provider, one) in enumerate(nodes)] * runs
    found = parse_profile(json.dumps([{'cat': 'Session', 'name': 'start'}, *events]))
    assert (len(found.nodes), found.runs) == (len(nodes), runs)
    inside = {'float': 'fp32', 'float16': 'fp16', 'int8': 'int8'}
    expected = ['int8' if 'Quantize' in kind else inside[one] for kind, _, one in nodes
                if kind not in ('Relu', 'Convert')]
    assert found.precisions().products == {one: expected.count(one) for one in expected}
    assert sum(found.precisions().products.values()) + found.precisions().others == len(nodes)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
                        st.sampled_from(['cat', 'name', 'args', 'provider', 'op_name',
                                         'input_type_shape', 'float']), inner, max_size=5))


@settings(deadline=None)
@given(events=st.lists(JSON | st.builds(
    lambda args: {'cat': 'Node', 'name': 'n_kernel_time', 'args': args}, JSON), max_size=6))
def test_whatever_a_profile_holds_it_is_read_or_refused(events):
    try:
        found = parse_profile(json.dumps(events))
    except BackendError as error:
        assert 'does not tell where the nodes ran' in error.found
        return
    assert found.nodes and str(found.precisions())
    for allowed in ((CPU,), (CUDA,)):
        try:
            placement.check_placement(found, allowed)
        except BackendError as error:
            assert error.found


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', 'null', '[' * 100_000, '[{"cat": "Node"}]',
                                  json.dumps([event()])[:-2]])
def test_what_is_no_profile_is_refused(text):
    with pytest.raises(BackendError, match='does not tell'):
        parse_profile(text)


@pytest.mark.parametrize('trouble', ['full disk', 'no directory'])
def test_a_full_disk_keeps_nobody_from_driving_on_the_cpu(
        bundle, tmp_path, monkeypatch, caplog, trouble):
    """Nothing can run elsewhere there, and verify has passed the file; the proof is left out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted, _ = open_backend('onnx', bundle, device='cpu').infer(
        np.zeros(bundle.input.shape, np.uint8), bundle.zero_state())
    if trouble == 'full disk':
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    else:
        monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'gone'))
    try:
        backend = open_backend('onnx', bundle, device='cpu')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert backend.info.layers.startswith('unknown: ') and 'is unknown: ' in caplog.text
    found, _ = backend.infer(np.zeros(bundle.input.shape, np.uint8), bundle.zero_state())
    assert np.array_equal(found, wanted)


def test_nothing_of_the_proof_stays_in_the_way_of_a_step(bundle, tmp_path):
    path = bundle.file('policy.fp32.onnx')
    proven = open_session(onnxruntime, path, CPU, profile=tmp_path / 'p')
    placement.run_on_zeros(proven)
    placement.read_placement(proven)
    plain, times = open_session(onnxruntime, path, CPU), ([], [])
    feed = {'image': np.zeros(bundle.input.shape, np.uint8),
            **dict(zip(('h_in', 'c_in'), bundle.zero_state()))}
    for _ in range(300):
        for session, taken in zip((proven, plain), times):
            start = time.perf_counter_ns()
            session.run(None, feed)
            taken.append(time.perf_counter_ns() - start)
    assert np.percentile(times[0], 25) < 1.5 * np.percentile(times[1], 25)
