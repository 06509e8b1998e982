"""Where images are, if there are none on the subscribed topic, and how to subscribe to them."""

from typing import Dict, List, Sequence

from .graph import Endpoint, listed, MAX_NAMES, Topic

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
TRANSPORTS = {IMAGE: 'raw', COMPRESSED: 'compressed'}
SUFFIX = '/compressed'  # of image_transport


def wrong_type(subscribed: Topic, publishers: Sequence[Endpoint]) -> str:
    """Return which other types `publishers` send on the subscribed topic; '' if there are none."""
    if not publishers:
        return ''
    kinds = dict.fromkeys(publisher.kind for publisher in publishers)
    found = ', '.join(
        f'{kind} (from {listed([other.node for other in publishers if other.kind == kind])})'
        for kind in kinds)
    fixes = [fix_to_read(Topic(subscribed.name, kind), subscribed) for kind in kinds
             if kind in TRANSPORTS]
    return (f'found {found}; expected {subscribed.kind}; fix: '
            + (fixes[0] if fixes else 'remap `image` to the topic of the camera'))


def fix_to_read(wanted: Topic, subscribed: Topic) -> str:
    """Return how to start the node so that it subscribes to `wanted` instead of `subscribed`."""
    steps = []
    if wanted.kind != subscribed.kind:
        steps.append(f'start this node with image_transport:={TRANSPORTS[wanted.kind]}')
    if wanted.kind == COMPRESSED and not wanted.name.endswith(SUFFIX):
        steps.append(f'remap `image/compressed` to {wanted.name}')
    elif base_name(wanted) != base_name(subscribed):
        steps.append(f'remap `image` to {base_name(wanted)}')
    return ' and '.join(steps)


def base_name(topic: Topic) -> str:
    """Return the name of the topic without the suffix of image_transport."""
    compressed = topic.kind == COMPRESSED and topic.name.endswith(SUFFIX)
    return topic.name[:-len(SUFFIX)] if compressed else topic.name


def elsewhere(subscribed: Topic, topics: Sequence[Topic]) -> str:
    """Return which other topics have images, and how to subscribe to them; '' if none has."""
    cameras = _cameras(subscribed, topics)
    found = [f'images on {topic.name} ({topic.kind}): {fix_to_read(topic, subscribed)}'
             for topic in cameras[:MAX_NAMES]]
    more = len(cameras) - MAX_NAMES
    return '; '.join(found) + (f'; and on {more} more topics' if more > 0 else '')


def _cameras(subscribed: Topic, topics: Sequence[Topic]) -> List[Topic]:
    """Return one topic for each camera: first the subscribed camera's other transport."""
    by_base: Dict[str, Topic] = {}
    for topic in sorted(topics, key=lambda topic: topic.kind == subscribed.kind):
        by_base[base_name(topic)] = topic  # the subscribed type comes last, so it wins
    return sorted(by_base.values(), key=lambda topic: (
        base_name(topic) != base_name(subscribed), topic.name))
