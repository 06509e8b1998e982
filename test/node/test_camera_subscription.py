"""What the image subscription asks for."""

import pytest

from vla_nav_node.node.camera_subscription import BEST_EFFORT, choose_reliability, RELIABLE


@pytest.mark.parametrize(('image_qos', 'offers', 'now', 'wanted'), [
    ('auto', [], '', BEST_EFFORT),
    ('auto', [], RELIABLE, RELIABLE),  # the camera restarts
    ('auto', [RELIABLE], BEST_EFFORT, RELIABLE),
    ('auto', [RELIABLE, RELIABLE], '', RELIABLE),
    ('auto', [RELIABLE, BEST_EFFORT], RELIABLE, BEST_EFFORT),
    ('sensor_data', [RELIABLE], '', BEST_EFFORT),
    ('reliable', [BEST_EFFORT], '', RELIABLE),
])
def test_the_reliability_fits_every_publisher_unless_the_user_wants_another(
        image_qos, offers, now, wanted):
    assert choose_reliability(image_qos, offers, now) == wanted
