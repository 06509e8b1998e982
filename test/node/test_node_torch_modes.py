"""A driving node changes torch_mode live, or refuses it and drives on."""

import pytest
from rig import CameraThread, NodeProcess, Rig
from tiny import write_tiny

pytest.importorskip('torch')


@pytest.fixture(scope='module')
def rig(tmp_path_factory):
    """Start a node on torch that has no C++ compiler, and a camera."""
    bundle = write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')
    node = NodeProcess(model=bundle.directory, backend='torch', device='cpu', torch_mode='script',
                       env={'CXX': '/nonexistent/g++'})
    rig = Rig()
    try:
        with CameraThread(rig):
            rig.drives()
            yield rig
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0 and 'Traceback' not in stderr, stderr


def test_it_starts_in_the_mode_that_was_set_and_changes_live(rig):
    values = rig.say('policy', 'TorchScript')[2]
    assert values['verified'].startswith('the reference by TorchScript')
    assert rig.configure(torch_mode='eager') == ''
    assert rig.say('policy', 'eager')[2]['verified'] == 'the reference'
    assert rig.configure(torch_mode='script') == ''
    rig.drives()


@pytest.mark.parametrize('mode, reason', [
    ('cuda_graph', 'torch_mode cuda_graph on device cpu; expected a GPU'),
    ('compile', 'needs a C++ compiler on the CPU: there is no /nonexistent/g++'),
    ('jit', 'one of auto, eager, cuda_graph, script, compile')])
def test_an_unavailable_mode_is_refused_while_it_drives_on(rig, mode, reason):
    before = rig.get('torch_mode')
    assert reason in rig.configure(torch_mode=mode)
    assert rig.get('torch_mode') == before
    rig.drives()
    rig.say('policy', {'script': 'TorchScript'}.get(before, before))
