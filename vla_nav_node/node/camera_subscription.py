"""The image subscription, in a node of its own, so that nothing else delays an image."""

from threading import Event
import time
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from .cdr import read_compressed_image, read_image
from .ros_graph import domain, endpoints, is_fast_dds, topics
from .start.fastdds_profile import profile_path
from ..driving.diagnostics.graph import BEST_EFFORT, Endpoint, RELIABLE, Topic
from ..driving.diagnostics.no_image import COMPRESSED, IMAGE
from ..driving.diagnostics.statuses import CameraReport
from ..driving.mailbox import Mailbox
from ..driving.parameters import Settings
from ..errors import ImageError
from ..types import Frame
from ..vision.compressed import size_and_encoding

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

DEPTH = 5  # frames that the middleware keeps while this process is busy, as for sensor data
# After handing over an image, this thread sleeps so that the driving thread has the interpreter; a
# small policy takes 1 to 2 ms. Own cost of a cycle (without infer and publish) at 640x480 on two
# busy cores, p50 / p99: 0.5 / 3.6 ms without this, 0.28 / 0.6 ms with 1 ms of it. Images that
# arrive in the meantime wait in the middleware.
HAND_OVER_S = 0.003
WAIT_S = 0.1  # how often the thread checks whether it has to end
SEARCH_S, REFRESH_S = 0.2, 1.0  # how often to read the publishers: before the first image, after


class Camera:
    """Put every image into a mailbox, with a subscription that matches the publishers' QoS."""

    def __init__(self, main: Node, settings: Settings, mailbox: Mailbox) -> None:
        """Make a node beside `main`; only `run` spins it."""
        compressed = settings.image_transport == 'compressed'
        self.topic = image_topic(main, compressed)
        self.node = _hidden_node(main)
        self.lost = 0
        self.lost_known = True
        self._type = CompressedImage if compressed else Image
        self._subscribed = Topic(self.topic, COMPRESSED if compressed else IMAGE)
        self._read: Callable[[bytes, int, int], Frame] = (
            read_compressed_image if compressed else read_image)
        self._qos = settings.image_qos
        self._mailbox = mailbox
        self._newest: Optional[Frame] = None
        self._publishers: Tuple[Endpoint, ...] = ()
        self._elsewhere: Tuple[Topic, ...] = ()
        self._profile = str(profile_path()) if is_fast_dds() else ''
        self._domain = domain(main)
        self._reliability = ''
        self._subscription: Optional[Subscription] = None
        self._executor = SingleThreadedExecutor(context=main.context)
        self._executor.add_node(self.node)
        self._wanted = False
        self.refresh()

    def run(self, stopping: Event) -> None:
        """Receive images until `stopping` is set."""
        next_refresh = 0.0
        while not stopping.is_set():
            self._executor.spin_once(timeout_sec=WAIT_S)
            if time.monotonic() >= next_refresh:
                self.refresh()
                next_refresh = time.monotonic() + (REFRESH_S if self._newest else SEARCH_S)

    def subscribe(self, on: bool) -> None:
        """Receive images from now on, or no longer; the thread of `run` subscribes."""
        self._wanted = on
        self._executor.create_task(self.refresh)

    def close(self) -> None:
        """Destroy the node; only after `run` has returned."""
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()

    def use_sim_time(self, on: bool) -> None:
        """Take the time from /clock or from the system."""
        self.node.set_parameters([Parameter('use_sim_time', value=on)])

    def report(self) -> CameraReport:
        """Return the state of the image topic."""
        picture = size_and_encoding(self._newest) if self._newest else ''
        return CameraReport(
            self._subscribed, self._publishers, self._reliability, self._profile,
            self._mailbox.received, self._mailbox.replaced, self.lost, self.lost_known, picture,
            self._elsewhere, self._domain)

    def on_image(self, raw: bytes, sequence: int = 0) -> None:
        """
        Put a serialised image, or the ImageError of reading it, into the mailbox.

        `sequence` is the publisher's count of its images, 0 if the middleware does not have it.
        """
        received_ns = time.perf_counter_ns()
        if not self._wanted:
            return
        try:
            frame = self._read(raw, received_ns, sequence)
        except ImageError as error:
            self._mailbox.put(error)
        else:
            self._newest = frame
            self._mailbox.put(frame)
        time.sleep(HAND_OVER_S)

    def _on_lost(self, event) -> None:
        self.lost += event.total_count_change

    def refresh(self) -> None:
        """Read the publishers, and subscribe again if they need another reliability."""
        self._publishers = endpoints(self.node.get_publishers_info_by_topic(self.topic))
        offers = [publisher.reliability for publisher in self._publishers
                  if publisher.kind == self._subscribed.kind]
        self._elsewhere = () if offers else tuple(
            topic for topic in topics(self.node, (IMAGE, COMPRESSED), self.node.count_publishers)
            if topic.name != self.topic)
        reliability = (choose_reliability(self._qos, offers, self._reliability) if self._wanted
                       else '')
        if reliability != self._reliability:
            self._reliability = reliability
            self._subscribe()

    def _subscribe(self) -> None:
        if self._subscription is not None:
            self.node.destroy_subscription(self._subscription)
            self._subscription = None
        if not self._reliability:
            return
        policy = (ReliabilityPolicy.RELIABLE if self._reliability == RELIABLE
                  else ReliabilityPolicy.BEST_EFFORT)
        try:
            self._subscription = self._create(policy, SubscriptionEventCallbacks(
                message_lost=self._on_lost))
        except UnsupportedEventTypeError:
            self.lost_known = False
            self._subscription = self._create(policy, None)

    def _create(self, policy: ReliabilityPolicy,
                events: Optional[SubscriptionEventCallbacks]) -> Subscription:
        return self.node.create_subscription(
            self._type, self.topic, _callback(self.on_image),
            QoSProfile(depth=DEPTH, reliability=policy), event_callbacks=events, raw=True)


def _callback(on_image: Callable[[bytes, int], None]) -> Callable[..., None]:
    """Return the callback for rclpy; Humble passes only the message."""
    def with_info(raw: bytes, info: Dict[str, Any]) -> None:
        on_image(raw, info.get('publication_sequence_number') or 0)
    return with_info if hasattr(Subscription, 'CallbackType') else on_image


def choose_reliability(image_qos: str, offers: Sequence[str], current: str = '') -> str:
    """
    Return the reliability to request; best effort matches every publisher.

    Without publishers it stays `current`, so that a camera that restarts changes nothing.
    """
    if image_qos == 'reliable':
        return RELIABLE
    if image_qos == 'sensor_data':
        return BEST_EFFORT
    if not offers:
        return current or BEST_EFFORT
    return RELIABLE if all(offer == RELIABLE for offer in offers) else BEST_EFFORT


def image_topic(main: Node, compressed: bool) -> str:
    """
    Return the full name of the image topic, after remapping.

    Compressed images are on `<image>/compressed`, as in image_transport, unless
    `image/compressed` itself is remapped.
    """
    if not compressed:
        return main.resolve_topic_name('image')
    own = main.resolve_topic_name('image/compressed')
    if own != main.resolve_topic_name('image/compressed', only_expand=True):
        return own
    return main.resolve_topic_name('image') + '/compressed'


def _hidden_node(main: Node) -> Node:
    """Make a node in the same process; the leading _ hides it from `ros2 node list`."""
    overrides = [Parameter('use_sim_time', value=main.get_parameter('use_sim_time').value),
                 Parameter('start_type_description_service', value=False)]
    return Node(f'_{main.get_name()}_camera', context=main.context,
                namespace=main.get_namespace(), use_global_arguments=False, enable_rosout=False,
                start_parameter_services=False, parameter_overrides=overrides)
