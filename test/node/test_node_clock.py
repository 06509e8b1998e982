"""Stamps under simulated time: a slow service does not delay them."""

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
import pytest
from rclpy.qos import qos_profile_sensor_data
from rig import domain, Rig, ros_arguments
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger
from tiny import write_tiny

from vla_nav_node.node.lifecycle import SERVICES
from vla_nav_node.node.managed_node import TOPICS, VlaNavNode
from vla_nav_node.node.start.shutdown_context import start
from vla_nav_node.types import Command


@pytest.fixture
def rig():
    """Join the graph."""
    rig = Rig(twist=TwistStamped)
    yield rig
    rig.close()


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return a node whose services' thread does not run, as during a swap."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain()))
    bundle = write_tiny(tmp_path / 'tiny')
    context = start(ros_arguments({'model': bundle.directory, 'use_sim_time': 'true',
                                   'enable_stamped_cmd_vel': 'true'}))
    node = VlaNavNode(context)
    for label in ('configure', 'activate'):
        assert node.lifecycle.trigger(label) is None
    yield node
    assert node.lifecycle.trigger('shutdown') is None
    node.destroy_node()
    context.try_shutdown()


def test_all_that_is_remapped_is_known_by_name(node):
    by_ros = {'/parameter_events', '/rosout', '/clock'}
    used = {end.topic_name for end in (*node.publishers, *node.subscriptions)}
    used |= {node.resolve_service_name(service.srv_name) for service in node.services
             if service.srv_type in (SetBool, Trigger, *SERVICES.values())}
    used |= {node.configured.camera.topic}
    named = {node.resolve_topic_name(name, only_expand=True) for name in TOPICS}
    assert used - by_ros <= named
    # Raw images, and no bond without its package.
    assert named - used <= {'/image/compressed', '/bond'}


def test_commands_and_diagnostics_carry_the_time_of_now_while_a_service_hangs(rig, node):
    clock = rig.node.create_publisher(Clock, '/clock', qos_profile_sensor_data)
    stamps, reports = set(), set()
    for kind, topic, seen in ((TwistStamped, 'cmd_vel', stamps),
                              (DiagnosticArray, '/diagnostics', reports)):
        rig.node.create_subscription(
            kind, topic, lambda msg, seen=seen: seen.add(msg.header.stamp.sec), 100)
    for now in (100, 200):
        time = Clock()
        time.clock.sec = now

        def stamped(time=time, now=now):
            clock.publish(time)
            node.configured._send(Command(0.1, 0.0))
            node.configured.reporter.report()
            return now in stamps and now in reports
        rig.until(stamped, f'a command and a report of {now} s')
