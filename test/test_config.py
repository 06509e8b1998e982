"""What config/ names (topics, statuses, fields) is what a running node publishes."""

import json
from pathlib import Path
import re
from typing import NamedTuple
from xml.etree import ElementTree

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
import pytest
from rig import CameraThread, NodeProcess, Rig
from std_msgs.msg import Float64MultiArray
from tiny import write_tiny
import yaml

CONFIG = Path(__file__).parents[1] / 'config'
FOXGLOVE = json.loads((CONFIG / 'foxglove.json').read_text())
PLOTJUGGLER = ElementTree.parse(CONFIG / 'plotjuggler.xml').getroot()
STREAMER = 'ROS2 Topic Subscriber'  # PlotJuggler's plugin, plotjuggler-ros-plugins
KINDS = {'diagnostic_msgs/msg/DiagnosticArray': DiagnosticArray, 'geometry_msgs/msg/Twist': Twist,
         'std_msgs/msg/Float64MultiArray': Float64MultiArray}


class Published(NamedTuple):
    """What a driving node publishes."""

    messages: dict  # topic: its newest message
    image: str  # the topic that it subscribes to


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    """Listen to a driving node with all of its statuses."""
    bundle = write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')
    process, rig, messages = NodeProcess(model=bundle.directory, realtime=True), Rig(), {}
    try:
        with CameraThread(rig):
            rig.drives()
            for name, kinds in rig.node.get_publisher_names_and_types_by_node('vla_nav_node', '/'):
                if kinds[0] in KINDS:
                    rig.node.create_subscription(
                        KINDS[kinds[0]], name, lambda msg, name=name: messages.update({name: msg}),
                        10)
            image = rig.say('camera', 'images/s')[2]['topic']
            rig.say('latency', 'cycle p50')
            rig.until(lambda: len(messages) == len(KINDS), 'a message on each topic')
        yield Published(messages, image)
    finally:
        rig.close()
        assert process.finish()[0] == 0


def statuses(node):
    """Return the newest statuses by their full names."""
    return {status.name: status for status in node.messages['/diagnostics'].status}


def test_the_document_lists_every_status_and_value(node):
    text = (CONFIG.parent / 'docs' / 'diagnostics.md').read_text()
    values = text.partition('## Values')[2]
    rows = dict(re.findall(r'^\| `(\w+)` \| ([^|]*) \|$', values, re.MULTILINE))
    for name, status in statuses(node).items():
        _, _, short = name.partition(': ')
        assert f'| `{short}` |' in text
        for pair in status.values if short in rows else ():
            stage = re.fullmatch(r'(\w+) (p50|p95|p99|max) (ms|%)', pair.key)
            assert f'`{stage[1] if stage and stage[1] != "cycle" else pair.key}`' in rows[short]
    assert set(rows) == {'camera', 'policy', 'latency', 'driving', 'graph'}


def test_each_status_has_one_analyzer_and_each_analyzer_one_status(node):
    tree = yaml.safe_load((CONFIG / 'analyzers.yaml').read_text())['analyzers']['ros__parameters']
    group = tree['vla_nav_node']
    assert (tree['path'], group['type']) == ('Robot', 'diagnostic_aggregator/AnalyzerGroup')
    kept = []
    for analyzer in group['analyzers'].values():
        assert analyzer['type'] == 'diagnostic_aggregator/GenericAnalyzer'
        part, = analyzer['contains']
        name, = (name for name in statuses(node) if part in name)
        assert part in f'robot1/{name}'  # in a namespace, too
        kept.append(name)
        # An analyzer without a status is stale, unless it discards what is: for what is optional.
        assert analyzer.get('discard_stale', False) == (name == 'vla_nav_node: realtime')
        assert isinstance(analyzer['timeout'], float) and analyzer['timeout'] > 1.0  # s a report
    assert sorted(kept) == sorted(statuses(node))


def series(name, value):
    """Yield the names and values that PlotJuggler makes of a message or a part of it."""
    if isinstance(value, DiagnosticArray):
        for status in value.status:
            prefix = f'{name}/{status.hardware_id}/{status.name}'
            yield f'{prefix}/level', status.level[0]
            yield from ((f'{prefix}/{pair.key}', pair.value) for pair in status.values)
    elif hasattr(value, 'get_fields_and_field_types'):
        for field in value.get_fields_and_field_types():
            yield from series(f'{name}/{field}', getattr(value, field))
    elif isinstance(value, (int, float)):
        yield name, value
    elif not isinstance(value, str):
        for number, item in enumerate(value):
            yield from series(f'{name}[{number}]', item)


def test_plotjuggler_shows_numbers_that_the_node_publishes(node):
    plugin = PLOTJUGGLER.find(f'Plugins/plugin[@ID="{STREAMER}"]')
    selected = plugin.find('selected_topics').get('value').split(';')
    assert sorted(selected) == sorted(node.messages)
    assert PLOTJUGGLER.find('previouslyLoaded_Streamer').get('name') == STREAMER
    found = dict(one for topic, message in node.messages.items() for one in series(topic, message))
    curves = [curve.get('name') for curve in PLOTJUGGLER.iter('curve')]
    assert {curve.split('/')[1] for curve in curves} == {'vla_nav_node', 'cmd_vel', 'diagnostics'}
    for curve in curves:
        float(found[curve])


def test_plotjuggler_shares_out_its_window():
    splitter, = PLOTJUGGLER.iter('DockSplitter')
    sizes = [float(size) for size in splitter.get('sizes').split(';')]
    assert int(splitter.get('count')) == len(sizes) == len(splitter.findall('DockArea'))
    assert sum(sizes) == pytest.approx(1.0)


def resolve(path, messages):
    """Return what a message path of Foxglove selects."""
    topic = re.match(r'[^.]+', path)[0]
    found = [messages[topic]]
    for name, index, key, text in re.findall(
            r'\.(\w+)|\[(\d*|:)\]|\{(\w+)=="([^"]*)"\}', path[len(topic):]):
        if name:
            found = [getattr(one, name) for one in found]
        elif key:
            found = [one for one in found if getattr(one, key) == text]
        else:
            found = [item for one in found
                     for item in (one if index == ':' else [one[int(index)]])]
    return found


def test_foxglove_shows_numbers_that_the_node_publishes(node):
    panels = FOXGLOVE['configById']
    paths = [path['value'] for panel in panels.values() for path in panel.get('paths', ())]
    assert {re.match(r'[^.]+', path)[0] for path in paths} == set(node.messages)
    for path in paths:
        value, = resolve(path, node.messages)
        float(value)
    assert panels['Image!camera']['imageMode']['imageTopic'] == node.image
    assert panels['DiagnosticSummary!summary']['topicToRender'] in node.messages


def test_foxglove_places_every_panel_once():
    placed = re.findall(r'"(?:first|second)": "([^"]+)"', json.dumps(FOXGLOVE['layout']))
    assert sorted(placed) == sorted(FOXGLOVE['configById'])


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
