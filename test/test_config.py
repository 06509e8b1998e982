"""What config/ names (topics, statuses, parameters) is what the node has."""

import json
from pathlib import Path
import re
from xml.etree import ElementTree

import pytest
from vla_nav_node.driving.latency_recorder import FIELDS
import yaml

CONFIG = Path(__file__).parents[1] / 'config'
STATUSES = ('camera', 'policy', 'latency', 'driving', 'graph')
TOPICS = {'/image', '/cmd_vel', '/diagnostics', '/vla_nav_node/latency'}


def test_each_status_has_an_analyzer():
    tree = yaml.safe_load((CONFIG / 'analyzers.yaml').read_text())
    analyzers = tree['analyzers']['ros__parameters']['vla_nav_node']['analyzers']
    assert [analyzer['contains'] for analyzer in analyzers.values()] == [
        [f'vla_nav_node: {status}'] for status in STATUSES]


def paths(name):
    """Return the topics with their fields that a layout shows."""
    if name.endswith('.xml'):
        root = ElementTree.parse(CONFIG / name).getroot()
        assert {topic.get('name') for topic in root.iter('topic')} <= TOPICS
        return [curve.get('name').replace('/data[', '.data[').replace('/linear/', '.linear.')
                for curve in root.iter('curve')]
    panels = json.loads((CONFIG / name).read_text())['configById'].values()
    return [path['value'] for panel in panels for path in panel.get('paths', ())]


@pytest.mark.parametrize('name', ['plotjuggler.xml', 'foxglove.json'])
def test_layouts_show_topics_and_fields_that_the_node_publishes(name):
    found = [path.partition('.') for path in paths(name)]
    assert found and {topic for topic, _, _ in found} <= TOPICS
    for topic, _, field in found:
        number = re.fullmatch(r'data\[(\d)\]', field)
        assert (field in ('linear.x', 'linear.y') if topic == '/cmd_vel'
                else int(number[1]) < len(FIELDS))


def test_foxglove_places_every_panel_once():
    document = json.loads((CONFIG / 'foxglove.json').read_text())
    placed = re.findall(r'"(?:first|second)": "([^"]+)"', json.dumps(document['layout']))
    assert sorted(placed) == sorted(document['configById'])


def test_the_chain_behind_nav2_lets_an_omniwheel_robot_move_sideways_and_stops_in_time():
    tree = yaml.safe_load((CONFIG / 'nav2.yaml').read_text())
    settings = {name: part['ros__parameters'] for name, part in tree.items()}
    smoother = settings['velocity_smoother']
    for name in ('max_velocity', 'min_velocity', 'max_accel', 'max_decel'):
        assert smoother[name][1] == smoother[name][0] != 0.0
    assert smoother['velocity_timeout'] <= 0.2  # image_timeout
    mux = settings['twist_mux']['topics']
    assert mux['joystick']['priority'] > mux['navigation']['priority']
    manager = settings['lifecycle_manager_camera_navigation']
    assert manager['node_names'] == ['velocity_smoother', 'collision_monitor', 'vla_nav_node']
    stamped = [settings[name]['enable_stamped_cmd_vel'] for name in manager['node_names'][:2]]
    assert {*stamped, settings['twist_mux']['use_stamped']} == {False}
