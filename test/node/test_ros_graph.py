"""A real ROS graph: types, QoS, names and the clock."""

from contextlib import closing, contextmanager
import os
import time

from geometry_msgs.msg import Twist, TwistStamped
import pytest
import rclpy
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, qos_profile_sensor_data, QoSProfile
from rclpy.time import Time
from rig import PATIENCE_S
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from vla_nav_node.driving.diagnostics.graph import (
    BEST_EFFORT, problems, RELIABLE, TWIST, TWIST_STAMPED)
from vla_nav_node.driving.diagnostics.statuses import no_image_reason
from vla_nav_node.driving.mailbox import Mailbox
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.node import ros_graph
from vla_nav_node.node.camera_subscription import Camera
from vla_nav_node.node.ros_graph import ClockMonitor, GraphMonitor, ProblemLog

TABLE = parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',))
SECOND = Duration(seconds=1)
DOMAIN = 60 + os.getpid() % 40  # away from those of rig.py: another graph is another result


@pytest.fixture(autouse=True)
def near(monkeypatch):
    """Stay on this machine, and read the graph for every report."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setattr(ros_graph, 'REFRESH_S', 0.0)


@contextmanager
def joined(name='guest', **how):
    """Add a node in a context of its own, as another process would."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node(name, context=context, **how)
    try:
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.fixture
def guest():
    """Return another node on the graph."""
    with joined() as node:
        yield node


@pytest.fixture
def ours():
    """Return the node that reads the graph."""
    with joined('vla_nav_node') as node:
        yield node


def until(condition):
    """Wait until `condition()` is true, and return its result."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def monitor(node, stamped=False):
    """Return a monitor of the graph around the commands of a node."""
    publisher = node.create_publisher(TwistStamped if stamped else Twist, 'cmd_vel',
                                      QoSProfile(depth=1))
    return GraphMonitor(node, publisher, TWIST_STAMPED if stamped else TWIST, node)


def problem_with(graph, *parts):
    """Wait until one of the problems has all `parts`, and return it; names come last."""
    def found():
        return [problem for problem in problems(graph.report())
                if all(part in problem for part in parts)]
    return until(found)[0]


def test_a_base_that_listens_and_a_mux_elsewhere_are_all_well(ours, guest):
    graph = monitor(ours)
    guest.create_subscription(Twist, 'cmd_vel', print, qos_profile_sensor_data)
    guest.create_publisher(Twist, 'cmd_vel_joy', 1)
    until(lambda: [tuple(one) for one in graph.report().subscribers] == [
        ('/guest', TWIST, BEST_EFFORT, '')])
    report = until(lambda: (found := graph.report()).connected and found)
    assert (report.node, report.topic, report.connected) == ('/vla_nav_node', '/cmd_vel', 1)
    assert problems(report) == []


@pytest.mark.parametrize('stamped', [False, True])
def test_a_base_of_the_other_type_is_named(ours, guest, stamped):
    graph = monitor(ours, stamped)
    guest.create_subscription(Twist if stamped else TwistStamped, 'cmd_vel', print, 1)
    parameter = f'enable_stamped_cmd_vel:={"false" if stamped else "true"}'
    problem_with(graph, '(subscribed by /guest)', parameter)


@pytest.mark.parametrize(('quality', 'reason'), [
    ({'durability': DurabilityPolicy.TRANSIENT_LOCAL},
     '(volatile publisher and transient local subscription)'),
    ({'deadline': SECOND}, 'deadline'),
    ({'liveliness': LivelinessPolicy.MANUAL_BY_TOPIC}, 'liveliness'),
    ({'liveliness_lease_duration': SECOND}, 'liveliness lease duration'),
])
def test_a_base_that_requests_more_than_the_node_offers_is_named(ours, guest, quality, reason):
    graph = monitor(ours)
    guest.create_subscription(Twist, 'cmd_vel', print, QoSProfile(depth=1, **quality))
    problem_with(graph, 'requested by /guest on /cmd_vel is incompatible', reason)
    assert graph.report().connected == 0  # the middleware agrees


def test_without_a_subscriber_other_topics_with_a_base_are_named(ours, guest):
    graph = monitor(ours)
    guest.create_subscription(Twist, 'diff_cont/cmd_vel_unstamped', print, 1)
    guest.create_publisher(Twist, 'nobody/reads/this', 1)
    text = problem_with(graph, '/diff_cont/cmd_vel_unstamped has a subscriber')
    assert '/nobody' not in text


def test_another_publisher_on_cmd_vel_is_named(ours, guest):
    graph = monitor(ours)
    assert graph.report().other_publishers == ()
    extra = guest.create_publisher(TwistStamped, 'cmd_vel', 1)
    problem_with(graph, f'another publisher on /cmd_vel: /guest ({TWIST_STAMPED})')
    guest.destroy_publisher(extra)
    until(lambda: not graph.report().other_publishers)


def test_two_nodes_of_one_name_see_each_other_and_two_robots_do_not(ours):
    with joined('vla_nav_node') as twin, joined('vla_nav_node', namespace='/robot1') as other:
        graphs = [monitor(node) for node in (ours, twin)]
        alone = monitor(other)
        for graph in graphs:
            problem_with(graph, '2 nodes are named /vla_nav_node')
            problem_with(graph, 'another publisher on /cmd_vel: /vla_nav_node;')
        report = alone.report()
        assert (report.node, report.topic) == ('/robot1/vla_nav_node', '/robot1/cmd_vel')
        assert (report.other_publishers, report.namesakes) == ((), 0)
    until(lambda: not graphs[0].report().namesakes)


def test_frequent_reports_do_not_read_the_graph_each_time(ours, monkeypatch):
    monkeypatch.setattr(ros_graph, 'REFRESH_S', 1e9)
    graph = monitor(ours)
    first = graph.report()
    ours.create_subscription(Twist, 'cmd_vel', print, 1)
    assert graph.report() is first


def test_after_ros_was_shut_down_the_last_report_stands(ours):
    graph = monitor(ours)
    before = graph.report()
    ours.context.shutdown()
    assert graph.report() == before


class Timed:
    """A node on simulated time, and its clock monitor."""

    def __init__(self, node):
        """Monitor its clock."""
        self.node, self.clock = node, ClockMonitor(node)
        self.executor = SingleThreadedExecutor(context=node.context)
        self.executor.add_node(node)

    def check(self, at_s=0.0):
        """Receive /clock, then check."""
        self.executor.spin_once(timeout_sec=0.05)
        return self.clock.check(at_s)


@pytest.fixture
def timed():
    """Return a node on simulated time."""
    with joined('timed', parameter_overrides=[
            rclpy.parameter.Parameter('use_sim_time', value=True)]) as node:
        timed = Timed(node)
        yield timed
        timed.executor.shutdown()


def test_simulated_time_without_a_clock_or_with_one_that_stands(timed, guest):
    assert 'use_sim_time is set, but /clock has no publisher' in timed.check()
    clock = guest.create_publisher(Clock, '/clock', 1)
    until(lambda: 'the time has stopped at 0 s although /guest publishes /clock' in timed.check())

    def ticked():
        clock.publish(Clock(clock=Time(seconds=12.5).to_msg()))
        return timed.check() == ''
    until(ticked)
    assert timed.check(1.0) == ''
    assert 'the time has stopped at 12.5 s although /guest publishes /clock' in timed.check(9.0)
    guest.destroy_publisher(clock)
    until(lambda: '/clock has no publisher' in timed.check(9.0))


@pytest.mark.parametrize(('middleware', 'is_it'), [
    ('rmw_fastrtps_cpp', True), ('rmw_fastrtps_dynamic_cpp', True), ('rmw_cyclonedds_cpp', False),
    ('rmw_zenoh_cpp', False), ('rmw_connextdds', False)])
def test_the_profile_is_for_fast_dds_alone(ours, monkeypatch, middleware, is_it):
    monkeypatch.setattr(ros_graph, 'get_rmw_implementation_identifier', lambda: middleware)
    with camera_report(ours) as report:
        assert bool(report().profile) == is_it


def test_the_time_of_the_machine_needs_no_clock(ours):
    assert ClockMonitor(ours).check(0.0) == ''


def test_a_problem_that_stays_is_logged_once_and_again_when_it_comes_back(caplog):
    log = ProblemLog()
    for found in (['a'], ['a', 'b'], ['a'], ['a'], [], ['a'], ['a']):
        log.update(found)
    assert [record.getMessage() for record in caplog.records] == ['a', 'a']


@contextmanager
def camera_report(node, **changes):
    """Make the camera of a node; yield a function that returns its report."""
    with closing(Camera(node, settings_of(TABLE, changes), Mailbox())) as camera:
        def report():
            camera.refresh()
            return camera.report()
        yield report


@pytest.mark.parametrize(('transport', 'topic', 'kind', 'text'), [
    ('raw', 'image', CompressedImage, 'found sensor_msgs/msg/CompressedImage (from /guest); '
     'expected sensor_msgs/msg/Image; fix: start this node with image_transport:=compressed'),
    ('compressed', 'image/compressed', Image, 'found sensor_msgs/msg/Image (from /guest); '
     'expected sensor_msgs/msg/CompressedImage; fix: start this node with image_transport:=raw'),
    ('raw', 'image', String, 'found std_msgs/msg/String (from /guest); expected '),
    ('raw', 'image/compressed', CompressedImage,
     'images on /image/compressed (sensor_msgs/msg/CompressedImage): start this node with '
     'image_transport:=compressed'),
    ('compressed', 'image', Image, 'images on /image (sensor_msgs/msg/Image): start this '
     'node with image_transport:=raw'),
    ('raw', 'camera/image_raw', Image, 'images on /camera/image_raw '
     '(sensor_msgs/msg/Image): remap `image` to /camera/image_raw'),
])
def test_images_of_another_type_or_name_are_found(ours, guest, transport, topic, kind, text):
    with camera_report(ours, image_transport=transport) as report:
        assert f'no node publishes images in ROS_DOMAIN_ID {DOMAIN}, ROS_AUTO' in no_image_reason(
            report())
        guest.create_publisher(kind, topic, qos_profile_sensor_data)
        until(lambda: text in no_image_reason(report()))


def test_a_publisher_of_another_type_decides_nothing_about_the_subscription(ours, guest):
    with joined('other') as other, camera_report(ours) as report:
        guest.create_publisher(Image, 'image', 1)
        other.create_publisher(CompressedImage, 'image', qos_profile_sensor_data)
        until(lambda: {one.node for one in report().publishers} == {'/guest', '/other'})
        assert (report().reliability, len(report().cameras)) == (RELIABLE, 1)
