"""Runtimes as a user names them."""

from hypothesis import given, strategies as st
from vla_nav_node.errors import SettingError
from vla_nav_node.policy.runtimes import read_runtimes, Runtime


@given(st.text(max_size=20) | st.from_regex(r'\w+(:\w+)?(@\w+)?', fullmatch=True))
def test_any_text_is_a_runtime_or_refused(text):
    try:
        runtime, = read_runtimes([text])
    except SettingError as error:
        assert repr(text) in str(error)
    else:
        assert read_runtimes([str(runtime)]) == (runtime,)


@given(st.sampled_from(['torch', 'onnx', 'tensorrt']), st.sampled_from(['fp32', 'fp16', 'int8']),
       st.sampled_from(['auto', 'cpu', 'cuda']))
def test_omitted_parts_are_fp32_and_auto(backend, precision, device):
    assert read_runtimes([backend]) == ((backend, 'fp32', 'auto', *Runtime('x')[3:]),)
    assert read_runtimes([f'{backend}:{precision}'])[0][1:3] == (precision, 'auto')
    assert read_runtimes([f'{backend}@{device}'])[0][1:3] == ('fp32', device)
    assert read_runtimes([f'{backend}:{precision}@{device}'])[0][:3] == (
        backend, precision, device)
