"""A short `make soak` that does not judge times."""

import numpy as np
import pytest
from rig import NodeProcess, Rig
from soak import growth, Soak
from tiny import write_tiny

CYCLES = 900  # nine turns: each event at least once, and swaps in both directions


@pytest.mark.parametrize('rise', [0.0, 0.2])
def test_growth_is_told_from_noise(rise):
    """A growth of a fifth is found in noise of a tenth; noise alone is not growth."""
    rng = np.random.default_rng(3)
    values = 1000.0 * (1.0 + np.linspace(-rise, rise, 2000)) + rng.normal(0.0, 100.0, 2000)
    found = growth(list(values))  # of the second half, which begins at 1000
    assert found['growth'] == pytest.approx(rise / (1.0 + rise / 2.0), abs=0.03)
    assert (found['growth'] - found['noise'] > 0.01) == bool(rise)


def test_too_little_is_not_judged():
    assert growth([1.0, 2.0])['growth'] is None


@pytest.mark.slow
def test_a_short_soak(tmp_path):
    """After all events no thread, handle or shared file is left over."""
    bundle = write_tiny(tmp_path / 'tiny')
    node, rig = NodeProcess(model=bundle.directory, max_acceleration=100.0), Rig()
    try:
        soak = Soak(rig, node)
        rig.until(lambda: soak.drive_one() is not None, 'the first cycle')
        soak.run(CYCLES)
    finally:
        status, stderr = node.finish()
        rig.close()
    assert status == 0, stderr
    assert set(soak.events) == {'swap', 'reset', 'resize', 'recode', 'broken', 'late', 'disable',
                                'pause'}
    after_swap = soak.samples[1:]  # torch has started its threads
    assert max(one['threads'] for one in after_swap) <= min(
        one['threads'] for one in after_swap) + 2
    assert after_swap[-1]['handles'] <= after_swap[0]['handles'] + 2
    assert after_swap[-1]['shm'] <= after_swap[0]['shm'] + 1
