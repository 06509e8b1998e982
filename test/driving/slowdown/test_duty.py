"""What the node itself does differently."""

from dataclasses import replace

from vla_nav_node.driving.slowdown.duty import explain_backend, explain_pace, explain_picture
from vla_nav_node.policy.runtimes import Runtime
from watched import DUTY, INFO


def at(seconds, received, **changes):
    """Return a duty."""
    return DUTY._replace(at_s=seconds, received=received, **changes)


def test_a_swap_is_for_another_and_a_fallback_is_not():
    other = replace(INFO, provider='CUDAExecutionProvider')
    assert DUTY._replace(wanted=Runtime('torch')).is_for_another(DUTY)
    assert DUTY._replace(backend=other).is_for_another(DUTY)  # opened again, on something else
    fallback = DUTY._replace(backend=other, fallback=True)
    assert not fallback.is_for_another(DUTY)
    assert explain_backend([DUTY], [fallback]).startswith('a fallback drives: onnx (')
    assert explain_backend([DUTY], [DUTY]) == explain_backend([], [DUTY]) == ''


def test_other_pictures():
    larger = DUTY._replace(picture='1280x960 rgb8')
    assert explain_picture([DUTY], [larger]) == (
        'pictures are 1280x960 rgb8, 640x480 rgb8 before')
    assert explain_picture([DUTY], [DUTY]) == explain_picture([], [DUTY]) == ''


def test_a_slower_pace():
    often, seldom = [at(0.0, 0), at(2.0, 100)], [at(9.0, 0), at(11.0, 30)]
    assert explain_pace(often, seldom).startswith('pictures come 15 times a second, 50 before')
    assert explain_pace(often, often) == explain_pace(seldom, often) == ''
    assert explain_pace([], seldom) == explain_pace(often, seldom[:1]) == ''
