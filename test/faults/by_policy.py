"""The faults of the policy, of its runtime and of its files."""

import os
from pathlib import Path
import shutil
import time

from rig import FAULTY_NODE

from .fault import DRIVES, ERROR, Fault, Line, Reaction, SKIPS, STANDS, WARN
from .scene import Scene
from .trap_policy import LATE_S, write_trap

GRAPH = 'policy.fp32.onnx'


def _trick(name):
    return lambda scene: scene.camera.play(name)


def _hang(scene: Scene) -> float:
    at = scene.camera.play('hang')
    scene.stands(at)
    # The node keeps reporting and publishing zeros.
    reports = len(scene.rig.diagnostics)
    scene.rig.until(lambda: len(scene.rig.diagnostics) >= reports + 3, 'diagnostics')
    assert scene.zeros(time.monotonic() - 0.5)
    return at


def _end_node(scene: Scene) -> None:
    """End the node with SIGINT, the only way out of the hang."""
    scene.node.signal(2)
    assert scene.node.status() == 0


def _copy(scene: Scene):
    return scene.bundle.directory.with_name('kept')


def _keep(scene: Scene) -> None:
    shutil.copytree(scene.bundle.directory, _copy(scene))


def _put_back(scene: Scene) -> None:
    shutil.rmtree(scene.bundle.directory)
    shutil.move(_copy(scene), scene.bundle.directory)


def _alter(scene: Scene) -> float:
    """Overwrite the graph in place, then ask for a swap, which would read it."""
    _keep(scene)
    at = time.monotonic()
    with open(scene.bundle.directory / GRAPH, 'r+b') as graph:
        graph.write(b'altered')
        graph.truncate(100)
    assert f'{GRAPH} has 100 bytes instead of' in scene.rig.configure(device='cpu')
    return at


def _replace(scene: Scene) -> float:
    """Put another sound bundle in its place, as an update does, then ask for a swap."""
    _keep(scene)
    at = time.monotonic()
    os.rename(scene.bundle.directory, scene.bundle.directory.with_name('away'))
    write_trap(scene.bundle.directory, name='another')
    assert 'was replaced since this node loaded it' in scene.rig.configure(device='cpu')
    return at


def _restore(scene: Scene) -> None:
    shutil.rmtree(scene.bundle.directory.with_name('away'))
    _put_back(scene)


def _with_fallback(fault):
    """Make the first backend of a node with a fallback fail."""
    def make(scene: Scene) -> float:
        _end_node(scene)
        scene.ready(command=['env', f'FAULT_FILE={_file(scene)}', *FAULTY_NODE],
                    fallback_backends="['onnx:fp32@cpu']")
        new = _file(scene).with_suffix('.new')
        new.write_text(f'{fault} 0')
        at = time.monotonic()
        new.replace(_file(scene))
        return at
    return make


def _file(scene: Scene) -> Path:
    return scene.scratch / 'fault'


def _end_fallback(scene: Scene) -> None:
    _file(scene).unlink(missing_ok=True)
    _end_node(scene)


def _standing(text):
    return Line('policy', ERROR, text)


FALLEN = Line('policy', WARN, 'driving on fallback onnx:fp32@cpu because of onnx:fp32@auto: ')
STANDS_AND_DRIVES = Reaction('stands still, then drives on by the fall-back', SKIPS.check)
FIRST = "fallback_backends: ['onnx:fp32@cpu']; "
RUNTIME = 'a graph that makes ONNX Runtime '
FAULTS = [
    Fault('NaN out of the policy', 'a policy that gives it', _trick('not a number'), STANDS,
          _standing('the policy gave a number that is not finite')),
    Fault('infinity out of the policy', 'a policy that gives it', _trick('infinite'), STANDS,
          _standing('the policy gave a number that is not finite')),
    Fault('absurd values out of the policy', 'a policy that gives 1e30 m/s', _trick('absurd'),
          STANDS, _standing('the policy gave (1e+30, 0) m/s, more than 10 times')),
    Fault('backend raises', RUNTIME + 'fail', _trick('raise'), STANDS,
          _standing('infer: ONNX Runtime failed: ')),
    Fault('backend hangs', RUNTIME + 'loop for ever; ended by SIGINT', _hang, STANDS,
          _standing('infer has not come back for '), undo=_end_node),
    Fault('backend slower than the period', RUNTIME + 'take three periods', _trick('slow'), DRIVES,
          Line('latency', WARN, ' missed it'), promise_s=None),
    Fault('backend slower than image_timeout', RUNTIME + f'take {LATE_S:g} s', _trick('too late'),
          STANDS, _standing('')),
    Fault('memory runs out in the backend', RUNTIME + 'ask for 281 TB', _trick('memory'), STANDS,
          _standing('Failed to allocate memory')),
    Fault('backend raises, with a fall-back', FIRST + 'the first backend raises at every step',
          _with_fallback('raise'), DRIVES, FALLEN, promise_s=None,
          undo=_end_fallback),
    Fault('backend hangs, with a fall-back', FIRST + 'the first backend does not come back',
          _with_fallback('hang'), STANDS_AND_DRIVES, FALLEN, undo=_end_fallback),
    Fault('bundle altered under the node', f'{GRAPH} is overwritten; a swap is asked for, and is '
          'refused', _alter, DRIVES, Line('policy', WARN, f'{GRAPH} changed on disk'),
          promise_s=None, undo=_put_back),
    Fault('bundle replaced under the node', 'another sound bundle is put in its place; a swap is '
          'asked for, and is refused', _replace, DRIVES,
          Line('policy', WARN, f'policy.yaml, {GRAPH} changed on disk'), promise_s=None,
          undo=_restore),
]
