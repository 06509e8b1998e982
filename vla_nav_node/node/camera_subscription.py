"""The image subscription: a node of its own, so that nothing else can hold an image up."""

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
from ..driving.settings import Settings
from ..errors import ImageError
from ..types import Frame
from ..vision.compressed import size_and_encoding

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

DEPTH = 5  # frames that the middleware keeps while this process is busy, as sensor data has it
# After an image has been handed over, this thread keeps its hands off the interpreter while the
# driving thread works, which takes 1 to 2 ms with a small policy. Own cost of a cycle (without
# infer and publish) at 640x480 on two busy cores, p50 / p99: 0.5 / 3.6 ms without this, 0.28 /
# 0.6 ms with 1 ms of it. Images that come in the meantime wait in the middleware.
HAND_OVER_S = 0.003
WAIT_S = 0.1  # how often the thread looks whether it has to end
SEARCH_S, WATCH_S = 0.2, 1.0  # how often to look at the publishers: before the first image, after


class Camera:
    """Put every image into a mailbox, on a subscription that fits what the publishers offer."""

    def __init__(self, main: Node, settings: Settings, mailbox: Mailbox) -> None:
        """Make the node; it is not spun by anything but `run`."""
        compressed = settings.image_transport == 'compressed'
        self.topic = image_topic(main, compressed)
        self.node = _hidden_node(main)
        self.lost = 0
        self.lost_known = True
        self._type = CompressedImage if compressed else Image
        self._ours = Topic(self.topic, COMPRESSED if compressed else IMAGE)
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
        self._look()

    def run(self, stopping: Event) -> None:
        """Take images until `stopping`."""
        next_look = 0.0
        while not stopping.is_set():
            self._executor.spin_once(timeout_sec=WAIT_S)
            if time.monotonic() >= next_look:
                self._look()
                next_look = time.monotonic() + (WATCH_S if self._newest else SEARCH_S)

    def close(self) -> None:
        """End after `run` has returned."""
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()

    def use_sim_time(self, on: bool) -> None:
        """Take the time from /clock, or from the machine."""
        self.node.set_parameters([Parameter('use_sim_time', value=on)])

    def report(self) -> CameraReport:
        """Tell what is known of the topic."""
        picture = size_and_encoding(self._newest) if self._newest else ''
        return CameraReport(
            self._ours, self._publishers, self._reliability, self._profile,
            self._mailbox.received, self._mailbox.replaced, self.lost, self.lost_known, picture,
            self._elsewhere, self._domain)

    def on_image(self, raw: bytes, sequence: int = 0) -> None:
        """
        Take a serialised image; one that cannot be read is handed over as the error it is.

        `sequence` is the sender's count of its images, 0 where the middleware does not tell.
        """
        received_ns = time.perf_counter_ns()
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

    def _look(self) -> None:
        """Look at the publishers, and subscribe anew if another reliability fits them better."""
        self._publishers = endpoints(self.node.get_publishers_info_by_topic(self.topic))
        offers = [publisher.reliability for publisher in self._publishers
                  if publisher.kind == self._ours.kind]
        self._elsewhere = () if offers else tuple(
            topic for topic in topics(self.node, (IMAGE, COMPRESSED), self.node.count_publishers)
            if topic.name != self.topic)
        reliability = choose_reliability(self._qos, offers, self._reliability)
        if reliability != self._reliability:
            self._reliability = reliability
            self._subscribe()

    def _subscribe(self) -> None:
        if self._subscription is not None:
            self.node.destroy_subscription(self._subscription)
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
    """Return what rclpy calls; Humble's calls it with the message alone."""
    def with_info(raw: bytes, info: Dict[str, Any]) -> None:
        on_image(raw, info.get('publication_sequence_number') or 0)
    return with_info if hasattr(Subscription, 'CallbackType') else on_image


def choose_reliability(image_qos: str, offers: Sequence[str], now: str = '') -> str:
    """
    Give the reliability to ask for; best effort fits every publisher.

    `now` is kept while there is no publisher, so that a camera that restarts changes nothing.
    """
    if image_qos == 'reliable':
        return RELIABLE
    if image_qos == 'sensor_data':
        return BEST_EFFORT
    if not offers:
        return now or BEST_EFFORT
    return RELIABLE if all(offer == RELIABLE for offer in offers) else BEST_EFFORT


def image_topic(main: Node, compressed: bool) -> str:
    """
    Give the full name of the topic, with what the user remapped `image` to.

    Compressed images are beside the raw ones, as image_transport has it, unless the user
    remapped `image/compressed` itself.
    """
    if not compressed:
        return main.resolve_topic_name('image')
    own = main.resolve_topic_name('image/compressed')
    if own != main.resolve_topic_name('image/compressed', only_expand=True):
        return own
    return main.resolve_topic_name('image') + '/compressed'


def _hidden_node(main: Node) -> Node:
    """Make a node in the same process; a name that starts with _ is hidden in `ros2 node list`."""
    overrides = [Parameter('use_sim_time', value=main.get_parameter('use_sim_time').value),
                 Parameter('start_type_description_service', value=False)]
    return Node(f'_{main.get_name()}_camera', context=main.context,
                namespace=main.get_namespace(), use_global_arguments=False, enable_rosout=False,
                start_parameter_services=False, parameter_overrides=overrides)
