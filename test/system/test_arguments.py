"""Arguments are parsed completely or refused."""

import argparse

from hypothesis import given, strategies as st
import pytest

from vla_nav_node.system.arguments import picture_size


@given(st.integers(1, 99999), st.integers(1, 99999))
def test_a_size_is_width_and_height(width, height):
    for text in (f'{width}x{height}', f'{width}X{height}'):
        assert picture_size(text) == (width, height)


@given(st.text() | st.from_regex('[0-9x]*', fullmatch=True))
def test_whatever_else_is_refused_or_means_two_numbers(text):
    try:
        width, height = picture_size(text)
    except argparse.ArgumentTypeError as error:
        assert 'expected a width and a height in pixels, such as 640x480' in str(error)
    else:
        assert text.lower() == f'{width}x{height}' and width > 0 and height > 0


@pytest.mark.parametrize('text', ['0x480', '640x', 'x480', '640x480x3', ' 640x480', '640 x 480',
                                  '-640x480', '06x4', '\u0661x\u0661', '1e3x480', '640x480\n'])
def test_what_looks_like_one_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        picture_size(text)
