"""The options of a session are those that the node's parameters name."""

import os

import onnxruntime
import pytest
import tiny
from vla_nav_node.backends.onnx.onnx_session import (
    LARGE_BYTES, MAX_THREADS, session_options, threads_for)
from vla_nav_node.backends.options import BackendOptions, DEFAULTS, OPTIONS
from vla_nav_node.bundle.bundle import graph_name
from vla_nav_node.errors import SettingError


@pytest.fixture(name='graph', scope='module')
def _graph(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('options') / 'tiny').file(graph_name('fp32'))


def entry(session, name):
    """Return a configuration entry of a session's options; None if it is not set."""
    try:
        return session.get_session_config_entry(f'session.{name}')
    except RuntimeError:
        return None


def test_by_default_one_thread_that_does_not_spin(graph):
    session = session_options(onnxruntime, graph, DEFAULTS)
    assert session.intra_op_num_threads == 1
    assert entry(session, 'intra_op.allow_spinning') == '0'
    assert not entry(session, 'intra_op.spin_duration_us')
    assert session.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL


def test_every_option_reaches_the_session(graph):
    session = session_options(onnxruntime, graph, BackendOptions(
        intra_op_num_threads=3, intra_op_allow_spinning=True, intra_op_spin_duration_us=250,
        dynamic_block_base=4, execution_mode='ORT_PARALLEL', set_denormal_as_zero=True,
        graph_optimization_level='ORT_ENABLE_BASIC', enable_cpu_mem_arena=False,
        enable_mem_pattern=False))
    assert (session.intra_op_num_threads, session.enable_cpu_mem_arena,
            session.enable_mem_pattern) == (3, False, False)
    assert session.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert session.graph_optimization_level == (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
    assert {name: entry(session, name) for name in (
        'intra_op.allow_spinning', 'intra_op.spin_duration_us', 'dynamic_block_base',
        'set_denormal_as_zero', 'force_spinning_stop')} == {
            'intra_op.allow_spinning': '1', 'intra_op.spin_duration_us': '250',
            'dynamic_block_base': '4', 'set_denormal_as_zero': '1', 'force_spinning_stop': '1'}


def test_only_large_graphs_get_more_threads(tmp_path):
    large = tmp_path / 'large.onnx'
    with large.open('wb') as file:
        file.truncate(LARGE_BYTES)  # it takes no room
    assert threads_for(large) == min(MAX_THREADS, len(os.sched_getaffinity(0)))
    with large.open('wb') as file:
        file.truncate(LARGE_BYTES - 1)
    assert threads_for(large) == 1


@pytest.mark.parametrize('row', [row for row in OPTIONS if row.high], ids=lambda row: row.name)
def test_numbers_out_of_range_are_refused(row):
    for value in (row.low - 1, row.high + 1):
        with pytest.raises(SettingError, match=f'{row.name} is {value}'):
            BackendOptions(**{row.name: value})


def test_what_changed_is_told():
    assert BackendOptions(huge_pages=False, dynamic_block_base=4).changed() == {
        'huge_pages': False, 'dynamic_block_base': 4}
