"""What is read from a real ROS graph: types, qualities, names, and the clock."""

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
from vla_nav_node.driving.settings import parameters, settings_of
from vla_nav_node.node import ros_graph
from vla_nav_node.node.camera_subscription import Camera
from vla_nav_node.node.ros_graph import ClockMonitor, GraphMonitor, News

TABLE = parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',))
SECOND = Duration(seconds=1)
DOMAIN = 60 + os.getpid() % 40  # away from those of rig.py: another graph is another result


@pytest.fixture(autouse=True)
def near(monkeypatch):
    """Stay on this machine, and look anew whenever asked."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setattr(ros_graph, 'LOOK_S', 0.0)


@contextmanager
def joined(name='guest', **how):
    """Have a node in a context of its own, as another process would."""
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
    """Have another node on the graph."""
    with joined() as node:
        yield node


@pytest.fixture
def ours():
    """Have the node that looks."""
    with joined('vla_nav_node') as node:
        yield node


def until(condition):
    """Wait until `condition` gives something, and give that."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def watch(node, stamped=False):
    """Look at the graph around the commands of a node."""
    publisher = node.create_publisher(TwistStamped if stamped else Twist, 'cmd_vel',
                                      QoSProfile(depth=1))
    return GraphMonitor(node, publisher, TWIST_STAMPED if stamped else TWIST, node)


def said(graph, *parts):
    """Wait until one of the problems has all `parts`, and give it; names come last."""
    def found():
        return [problem for problem in problems(graph.report())
                if all(part in problem for part in parts)]
    return until(found)[0]


def test_a_base_that_listens_and_a_mux_elsewhere_are_all_well(ours, guest):
    graph = watch(ours)
    guest.create_subscription(Twist, 'cmd_vel', print, qos_profile_sensor_data)
    guest.create_publisher(Twist, 'cmd_vel_joy', 1)
    until(lambda: [tuple(one) for one in graph.report().readers] == [
        ('/guest', TWIST, BEST_EFFORT, '')])
    report = until(lambda: (found := graph.report()).listeners and found)
    assert (report.node, report.topic, report.listeners) == ('/vla_nav_node', '/cmd_vel', 1)
    assert problems(report) == []


@pytest.mark.parametrize('stamped', [False, True])
def test_a_base_of_the_other_type_is_named(ours, guest, stamped):
    graph = watch(ours, stamped)
    guest.create_subscription(Twist if stamped else TwistStamped, 'cmd_vel', print, 1)
    parameter = f'enable_stamped_cmd_vel:={"false" if stamped else "true"}'
    said(graph, 'on /cmd_vel by /guest', parameter)


@pytest.mark.parametrize(('quality', 'reason'), [
    ({'durability': DurabilityPolicy.TRANSIENT_LOCAL},
     '(volatile publisher and transient local subscription)'),
    ({'deadline': SECOND}, 'deadline'),
    ({'liveliness': LivelinessPolicy.MANUAL_BY_TOPIC}, 'liveliness'),
    ({'liveliness_lease_duration': SECOND}, 'liveliness lease duration'),
])
def test_a_base_that_asks_for_more_than_we_offer_is_named(ours, guest, quality, reason):
    graph = watch(ours)
    guest.create_subscription(Twist, 'cmd_vel', print, QoSProfile(depth=1, **quality))
    said(graph, '/guest asks for on /cmd_vel does not fit', reason)
    assert graph.report().listeners == 0  # the middleware is of the same opinion


def test_where_nobody_listens_other_topics_with_a_base_are_named(ours, guest):
    graph = watch(ours)
    guest.create_subscription(Twist, 'diff_cont/cmd_vel_unstamped', print, 1)
    guest.create_publisher(Twist, 'nobody/reads/this', 1)
    told = said(graph, '/diff_cont/cmd_vel_unstamped has a subscriber')
    assert '/nobody' not in told


def test_whoever_else_publishes_on_cmd_vel_is_named(ours, guest):
    graph = watch(ours)
    assert graph.report().rivals == ()
    extra = guest.create_publisher(TwistStamped, 'cmd_vel', 1)
    said(graph, f'somebody else publishes on /cmd_vel: /guest ({TWIST_STAMPED})')
    guest.destroy_publisher(extra)
    until(lambda: not graph.report().rivals)


def test_two_nodes_of_one_name_see_each_other_and_two_robots_do_not(ours):
    with joined('vla_nav_node') as twin, joined('vla_nav_node', namespace='/robot1') as other:
        graphs = [watch(node) for node in (ours, twin)]
        alone = watch(other)
        for graph in graphs:
            said(graph, '2 nodes are named /vla_nav_node')
            said(graph, 'somebody else publishes on /cmd_vel: /vla_nav_node;')
        report = alone.report()
        assert (report.node, report.topic) == ('/robot1/vla_nav_node', '/robot1/cmd_vel')
        assert (report.rivals, report.namesakes) == ((), 0)
    until(lambda: not graphs[0].report().namesakes)


def test_however_often_somebody_asks_the_graph_is_read_now_and_then(ours, monkeypatch):
    monkeypatch.setattr(ros_graph, 'LOOK_S', 1e9)
    graph = watch(ours)
    first = graph.report()
    ours.create_subscription(Twist, 'cmd_vel', print, 1)
    assert graph.report() is first


def test_after_ros_was_shut_down_the_last_report_stands(ours):
    graph = watch(ours)
    before = graph.report()
    ours.context.shutdown()
    assert graph.report() == before


class Timed:
    """A node on simulated time, and what is said of it."""

    def __init__(self, node):
        """Look at its clock."""
        self.node, self.watch = node, ClockMonitor(node)
        self.executor = SingleThreadedExecutor(context=node.context)
        self.executor.add_node(node)

    def says(self, at_s=0.0):
        """Take what /clock sends, then look."""
        self.executor.spin_once(timeout_sec=0.05)
        return self.watch.look(at_s)


@pytest.fixture
def timed():
    """Have a node on simulated time."""
    with joined('timed', parameter_overrides=[
            rclpy.parameter.Parameter('use_sim_time', value=True)]) as node:
        timed = Timed(node)
        yield timed
        timed.executor.shutdown()


def test_simulated_time_without_a_clock_or_with_one_that_stands(timed, guest):
    assert 'use_sim_time is set, but nobody publishes /clock' in timed.says()
    clock = guest.create_publisher(Clock, '/clock', 1)
    until(lambda: 'the time stands at 0 s though /guest publishes /clock' in timed.says())

    def ticked():
        clock.publish(Clock(clock=Time(seconds=12.5).to_msg()))
        return timed.says() == ''
    until(ticked)
    assert timed.says(1.0) == ''
    assert 'the time stands at 12.5 s though /guest publishes /clock' in timed.says(9.0)
    guest.destroy_publisher(clock)
    until(lambda: 'nobody publishes /clock' in timed.says(9.0))


@pytest.mark.parametrize(('middleware', 'is_it'), [
    ('rmw_fastrtps_cpp', True), ('rmw_fastrtps_dynamic_cpp', True), ('rmw_cyclonedds_cpp', False),
    ('rmw_zenoh_cpp', False), ('rmw_connextdds', False)])
def test_the_profile_is_for_fast_dds_alone(ours, monkeypatch, middleware, is_it):
    monkeypatch.setattr(ros_graph, 'get_rmw_implementation_identifier', lambda: middleware)
    with looking(ours) as report:
        assert bool(report().profile) == is_it


def test_the_time_of_the_machine_needs_no_clock(ours):
    assert ClockMonitor(ours).look(0.0) == ''


def test_news_are_logged_once_when_they_stay_and_again_when_they_come_back(caplog):
    news = News()
    for found in (['a'], ['a', 'b'], ['a'], ['a'], [], ['a'], ['a']):
        news.tell(found)
    assert [record.getMessage() for record in caplog.records] == ['a', 'a']


@contextmanager
def looking(node, **changes):
    """Have the camera of a node; give what it reports, each time it is asked."""
    with closing(Camera(node, settings_of(TABLE, changes), Mailbox())) as camera:
        def report():
            camera._look()
            return camera.report()
        yield report


@pytest.mark.parametrize(('transport', 'topic', 'kind', 'told'), [
    ('raw', 'image', CompressedImage, 'found sensor_msgs/msg/CompressedImage (from /guest) there, '
     'expected sensor_msgs/msg/Image; start it with image_transport:=compressed'),
    ('compressed', 'image/compressed', Image, 'found sensor_msgs/msg/Image (from /guest) there, '
     'expected sensor_msgs/msg/CompressedImage; start it with image_transport:=raw'),
    ('raw', 'image', String, 'found std_msgs/msg/String (from /guest) there'),
    ('raw', 'image/compressed', CompressedImage,
     'there are images on /image/compressed (sensor_msgs/msg/CompressedImage): start it with '
     'image_transport:=compressed'),
    ('compressed', 'image', Image, 'there are images on /image (sensor_msgs/msg/Image): start it '
     'with image_transport:=raw'),
    ('raw', 'camera/image_raw', Image, 'there are images on /camera/image_raw '
     '(sensor_msgs/msg/Image): remap `image` to /camera/image_raw'),
])
def test_images_of_another_type_or_name_are_found(ours, guest, transport, topic, kind, told):
    with looking(ours, image_transport=transport) as report:
        assert f'nobody publishes images in ROS_DOMAIN_ID {DOMAIN}, ROS_AUTO' in no_image_reason(
            report())
        guest.create_publisher(kind, topic, qos_profile_sensor_data)
        until(lambda: told in no_image_reason(report()))


def test_a_publisher_of_another_type_decides_nothing_about_the_subscription(ours, guest):
    with joined('other') as other, looking(ours) as report:
        guest.create_publisher(Image, 'image', 1)
        other.create_publisher(CompressedImage, 'image', qos_profile_sensor_data)
        until(lambda: {one.node for one in report().publishers} == {'/guest', '/other'})
        assert (report().reliability, len(report().cameras)) == (RELIABLE, 1)
