"""Where images are instead, and how to subscribe to them."""

import pytest

from vla_nav_node.driving.diagnostics.graph import Endpoint, Topic
from vla_nav_node.driving.diagnostics.no_image import (
    base_name, COMPRESSED, elsewhere, fix_to_read, IMAGE, wrong_type)

RAW, JPEG = Topic('/image', IMAGE), Topic('/image/compressed', COMPRESSED)
TO_JPEG, TO_RAW = 'image_transport:=compressed', 'image_transport:=raw'


@pytest.mark.parametrize(('subscribed', 'wanted', 'fix'), [
    (RAW, Topic('/image', COMPRESSED),
     f'start this node with {TO_JPEG} and remap `image/compressed` to /image'),
    (JPEG, Topic('/image/compressed', IMAGE),
     f'start this node with {TO_RAW} and remap `image` to /image/compressed'),
    (RAW, JPEG, f'start this node with {TO_JPEG}'),
    (JPEG, RAW, f'start this node with {TO_RAW}'),
    (RAW, Topic('/usb/image_raw', IMAGE), 'remap `image` to /usb/image_raw'),
    (JPEG, Topic('/usb/image_raw/compressed', COMPRESSED), 'remap `image` to /usb/image_raw'),
    (JPEG, Topic('/usb/jpeg', COMPRESSED), 'remap `image/compressed` to /usb/jpeg'),
    (RAW, Topic('/usb/image_raw/compressed', COMPRESSED),
     f'start this node with {TO_JPEG} and remap `image` to /usb/image_raw'),
    (JPEG, Topic('/usb/image_raw', IMAGE),
     f'start this node with {TO_RAW} and remap `image` to /usb/image_raw'),
])
def test_the_fix_to_read_other_images(subscribed, wanted, fix):
    assert fix_to_read(wanted, subscribed) == fix


def test_a_wrong_type_is_named_with_who_publishes_it():
    others = [Endpoint('/usb_cam', COMPRESSED), Endpoint('/talker', 'std_msgs/msg/String')]
    assert wrong_type(RAW, []) == ''
    assert wrong_type(RAW, others) == (
        f'found {COMPRESSED} (from /usb_cam), std_msgs/msg/String (from /talker); expected '
        f'{IMAGE}; fix: start this node with {TO_JPEG} and remap `image/compressed` to /image')
    assert wrong_type(RAW, others[1:]).endswith('remap `image` to the topic of the camera')


def test_the_same_camera_under_another_transport_comes_first_and_each_camera_once():
    found = [Topic('/a/image', IMAGE), Topic('/a/image/compressed', COMPRESSED), JPEG]
    assert elsewhere(RAW, found) == (
        f'images on /image/compressed ({COMPRESSED}): start this node with {TO_JPEG}; '
        f'images on /a/image ({IMAGE}): remap `image` to /a/image')
    assert elsewhere(JPEG, found[:2]) == (
        f'images on /a/image/compressed ({COMPRESSED}): remap `image` to /a/image')
    assert elsewhere(RAW, []) == ''


def test_of_many_cameras_a_few_are_named():
    text = elsewhere(RAW, [Topic(f'/camera{number}/image', IMAGE) for number in range(9)])
    assert text.count('images on') == 3
    assert text.endswith('; and on 6 more topics')


def test_the_base_name_is_that_of_image_transport():
    assert base_name(JPEG) == base_name(RAW) == '/image'
    assert base_name(Topic('/jpeg', COMPRESSED)) == '/jpeg'
    assert base_name(Topic('/image/compressed', IMAGE)) == '/image/compressed'
