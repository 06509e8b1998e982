"""
A policy bundle whose step graph obeys a marker in the picture, faults included.

The marker is in the top left corner. On GOOD the policy drives forward; on POISON, which a node
must never drive on, sideways, so a sideways command proves that the node drove on a bad picture.
The other markers make ONNX Runtime itself fail in some way. No code of the node is replaced.
"""

from pathlib import Path
import time

import numpy as np
from onnx import checker, helper, numpy_helper, save, TensorProto
from tiny import HEIGHT, manifest, WIDTH
from vla_nav_node.bundle.bundle import Bundle, write_bundle

STEP = 20  # grey levels between markers: conversions between encodings may round
(GOOD, POISON, NOT_A_NUMBER, INFINITE, ABSURD, RAISE, MEMORY, SLOW, LATE, HANG) = (
    STEP * number for number in range(2, 12))
FORWARD, SIDEWAYS = 0.4, 0.4  # m/s
SLOW_S, LATE_S = 0.06, 0.5  # longer than the control period; longer than image_timeout
FOR_EVER = 1 << 62  # turns of a loop
TOO_MUCH = 1 << 46  # float32s; larger than any address space
NOWHERE = 999  # not a row of the table of actions
ROWS = 256 // STEP + 1
HIDDEN = 8
CALIBRATION_TURNS = 200_000


def write_trap(directory: Path, name: str = 'trap') -> Bundle:
    """Write the bundle; its slow steps are calibrated to take SLOW_S and LATE_S here."""
    scratch = directory.with_name(directory.name + '.onnx')
    _save(scratch, dict.fromkeys((SLOW, LATE), CALIBRATION_TURNS))
    turns_per_s = CALIBRATION_TURNS / _step_s(scratch)
    _save(scratch, {SLOW: int(SLOW_S * turns_per_s), LATE: int(LATE_S * turns_per_s),
                    HANG: FOR_EVER})
    bundle = write_bundle(directory, {**manifest(), 'name': name},
                          {'policy.fp32.onnx': scratch})
    scratch.unlink()
    return bundle


def mark(picture: np.ndarray, marker: int) -> np.ndarray:
    """Put a marker into a picture (uint8 [H, W, 3]) and return it."""
    picture[:picture.shape[0] // 2, :picture.shape[1] // 2] = marker
    return picture


def _step_s(path: Path) -> float:
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    state = np.zeros((1, 1, HIDDEN), np.float32)
    image = mark(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)[0], SLOW)[np.newaxis]
    times = []
    for _ in range(3):  # take the fastest: the machine may be busy
        start = time.perf_counter()
        session.run(None, {'image': image, 'h_in': state, 'c_in': state})
        times.append(time.perf_counter() - start)
    return min(times)


def _actions() -> np.ndarray:
    """Return the action of each row, m/s."""
    table = np.tile(np.array([0.0, SIDEWAYS], np.float32), (ROWS, 1))
    for marker in (GOOD, MEMORY, SLOW, LATE, HANG):
        table[marker // STEP] = (FORWARD, 0.0)
    table[NOT_A_NUMBER // STEP] = (np.nan, np.nan)
    table[INFINITE // STEP] = (np.inf, 0.0)
    table[ABSURD // STEP] = (1e30, 0.0)
    return table


def _rows(default: np.ndarray, changes: dict) -> np.ndarray:
    for marker, value in changes.items():
        default[marker // STEP] = value
    return default


def _save(path: Path, turns: dict) -> None:
    constants = {
        'corner': np.array([0, 0, 0], np.int64), 'corner_end': np.array([1, 1, 1], np.int64),
        'corner_axes': np.array([1, 2, 3], np.int64), 'one_dim': np.array([1], np.int64),
        'scalar': np.array([], np.int64), 'step': np.array([STEP], np.int64),
        'half': np.array(0.5, np.float32), 'yes': np.array(True),
        'actions': _actions(),
        'row': _rows(np.arange(ROWS, dtype=np.int64), {RAISE: NOWHERE}),
        'memory': _rows(np.ones(ROWS, np.int64), {MEMORY: TOO_MUCH}),
        'turns': _rows(np.zeros(ROWS, np.int64), turns),
        'same': np.eye(2, dtype=np.float32)}
    node = helper.make_node
    nodes = [
        node('Slice', ['image', 'corner', 'corner_end', 'corner_axes'], ['pixel']),
        node('Reshape', ['pixel', 'one_dim'], ['byte']),
        node('Cast', ['byte'], ['grey'], to=TensorProto.INT64),
        node('Div', ['grey', 'step'], ['code']),
        node('Gather', ['row', 'code'], ['index']),
        node('Gather', ['actions', 'index'], ['wanted']),
        node('Gather', ['memory', 'code'], ['floats']),
        node('ConstantOfShape', ['floats'], ['heap']),
        node('ReduceMax', ['heap'], ['nothing'], keepdims=1),
        node('Add', ['wanted', 'nothing'], ['allocated']),
        node('Gather', ['turns', 'code'], ['trips']),
        node('Reshape', ['trips', 'scalar'], ['trip_count']),
        node('Loop', ['trip_count', 'yes', 'allocated'], ['action'], body=_turn()),
        node('Mul', ['h_in', 'half'], ['h_out']),
        node('Mul', ['c_in', 'half'], ['c_out'])]
    shape = [1, 1, HIDDEN]
    state_in = [_floats(name, shape) for name in ('h_in', 'c_in')]
    state_out = [_floats(name, shape) for name in ('h_out', 'c_out')]
    picture = helper.make_tensor_value_info('image', TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])
    graph = helper.make_graph(
        nodes, 'trap', [picture, *state_in], [_floats('action', [1, 2]), *state_out],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    checker.check_model(model)
    save(model, path)


def _turn():
    """Return the body of the loop, which takes time and changes nothing."""
    return helper.make_graph(
        [helper.make_node('Identity', ['go_in'], ['go_out']),
         helper.make_node('MatMul', ['action_in', 'same'], ['action_out'])],
        'turn',
        [helper.make_tensor_value_info('number', TensorProto.INT64, []),
         helper.make_tensor_value_info('go_in', TensorProto.BOOL, []),
         _floats('action_in', [1, 2])],
        [helper.make_tensor_value_info('go_out', TensorProto.BOOL, []),
         _floats('action_out', [1, 2])])


def _floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
