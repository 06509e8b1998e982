"""The space names every option of the node: what is tried, or why it is not."""

import re

import pytest
from rooms import REPOSITORY
from vla_nav_node.backends.options import BackendOptions, OPTIONS
from vla_nav_node.bench.tuning.space import (
    LEFT_OUT, left_out, options_of, Place, POWERS, singles, SPACE, why_not)
from vla_nav_node.bench.tuning.starting_points import Machine, STARTS, starts_for, this_machine
from vla_nav_node.bench.tuning.trial import REHEARSAL

CPU = Place('onnx', 'int8', 'cpu', 4, '1.32.0', rehearses=True)
GPU = Place('onnx', 'fp32', 'cuda', 8, '1.22.0', capability=8.6)


def test_every_option_is_tried_or_left_out_with_a_reason():
    tried = {row.name for row in SPACE}
    assert {row.name for row in OPTIONS} == (tried | set(LEFT_OUT)) & {
        row.name for row in OPTIONS}
    assert tried - {row.name for row in OPTIONS} == {REHEARSAL}
    assert not tried & set(LEFT_OUT) and all(LEFT_OUT.values())


@pytest.mark.parametrize('place', [
    CPU, GPU, CPU._replace(backend='torch', precision='fp32'),
    GPU._replace(backend='tensorrt', version='10.13')])
def test_every_change_is_one_that_the_node_takes(place):
    changes = singles(place)
    assert changes
    for change in changes:
        BackendOptions(**{name: value for name, value in change.items() if name != REHEARSAL})
    assert all(len(quick) for quick in singles(place, quick=True))
    assert len(singles(place, quick=True)) <= len(changes)


def test_what_cannot_matter_is_skipped():
    def names(place):
        return {name for change in singles(place) for name in change}
    alone = names(CPU._replace(cores=1))
    assert not alone & {'intra_op_num_threads', 'intra_op_allow_spinning', 'dynamic_block_base',
                        'intra_op_spin_duration_us'}
    assert 'intra_op_spin_duration_us' not in names(CPU._replace(version='1.31.0'))
    for change in singles(CPU):
        if 'intra_op_spin_duration_us' in change:
            assert change['intra_op_allow_spinning'] and change['intra_op_num_threads'] == 4
    assert 'cudnn_conv_algo_search' not in names(CPU)
    assert REHEARSAL not in names(CPU._replace(rehearses=False)) | names(GPU)
    assert 'use_tf32' not in names(GPU._replace(capability=7.5))
    assert 'use_tf32' not in names(GPU._replace(precision='fp16'))


def test_threads_are_the_powers_of_two_up_to_the_cores_but_the_default():
    row = next(row for row in SPACE if row.values == POWERS)
    assert [change[row.name] for change in options_of(row, CPU._replace(cores=6))] == [6, 4, 2]
    assert [change[row.name] for change in options_of(row, CPU._replace(threads=4))] == [2, 1]
    assert why_not(row, CPU._replace(cores=1)) == 'there is one core'


def test_what_is_left_out_has_its_reason():
    reasons = left_out([CPU])
    assert reasons['cudnn_conv_algo_search'] == 'for a GPU'
    assert 'races' in reasons['do_copy_in_default_stream']
    assert 'ROCm' in reasons['tunable_op_enable, tunable_op_tuning_enable']
    assert 'huge_pages' not in reasons and 'torch_mode' not in reasons


def test_starting_points_are_for_the_machine():
    vnni = Machine(frozenset(['avx2', 'avx512_vnni']))
    assert [start.kind for start, _ in starts_for(vnni, CPU)] == [
        'x86 with AVX-512 VNNI', 'x86 with AVX2']
    arm = starts_for(Machine(frozenset(['asimddp'])), CPU)
    assert arm[0][1] == {'intra_op_num_threads': 4} and arm[0][0].seen == 'never seen'
    turing = Machine(frozenset(), 'GeForce RTX 2080', 7.5)
    assert [start.kind for start, _ in starts_for(turing, GPU)] == ['Turing']
    assert [start.kind for start, _ in starts_for(turing._replace(gpu='Tesla T4'), GPU)] == [
        'T4', 'Turing']
    assert not starts_for(vnni, CPU._replace(backend='torch'))
    for start in STARTS:
        assert start.seen and start.settings
    assert this_machine().features


def test_the_document_has_a_row_for_each_option():
    text = (REPOSITORY / 'docs' / 'tune.md').read_text(encoding='utf-8')
    rows = dict(re.findall(r'^\| `(\w+)` \|(.*)\|$', text, re.MULTILINE))
    for row in SPACE:
        assert row.costs in rows[row.name] and row.seen in rows[row.name], row.name
    for name, reason in LEFT_OUT.items():
        assert re.search(rf'^\| `?{re.escape(name)}`? \| {re.escape(reason)} \|$', text,
                         re.MULTILINE), name
    for start in STARTS:
        assert f'| {start.kind} |' in text
