"""Why no image comes, where nobody publishes what the node reads: what else there is."""

from typing import Dict, List, Sequence

from .graph import Endpoint, listed, MOST_NAMES, Topic

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
TRANSPORTS = {IMAGE: 'raw', COMPRESSED: 'compressed'}
SUFFIX = '/compressed'  # of image_transport


def wrong_type(ours: Topic, others: Sequence[Endpoint]) -> str:
    """Say who publishes what on our topic instead of images that we read; '' if nobody does."""
    if not others:
        return ''
    kinds = dict.fromkeys(other.kind for other in others)
    found = ', '.join(
        f'{kind} (from {listed([other.node for other in others if other.kind == kind])})'
        for kind in kinds)
    ways = [way_to(Topic(ours.name, kind), ours) for kind in kinds if kind in TRANSPORTS]
    return (f'found {found} there, expected {ours.kind}; '
            + (ways[0] if ways else 'remap `image` to the topic of the camera'))


def way_to(there: Topic, ours: Topic) -> str:
    """Say how to start the node so that it reads `there`, while it reads `ours` now."""
    steps = []
    if there.kind != ours.kind:
        steps.append(f'start it with image_transport:={TRANSPORTS[there.kind]}')
    if there.kind == COMPRESSED and not there.name.endswith(SUFFIX):
        steps.append(f'remap `image/compressed` to {there.name}')
    elif base(there) != base(ours):
        steps.append(f'remap `image` to {base(there)}')
    return ' and '.join(steps)


def base(topic: Topic) -> str:
    """Return the name under which image_transport has the topic."""
    compressed = topic.kind == COMPRESSED and topic.name.endswith(SUFFIX)
    return topic.name[:-len(SUFFIX)] if compressed else topic.name


def elsewhere(ours: Topic, topics: Sequence[Topic]) -> str:
    """Say on which other topics there are images, and how to read them; '' if there are none."""
    cameras = _cameras(ours, topics)
    told = [f'there are images on {topic.name} ({topic.kind}): {way_to(topic, ours)}'
            for topic in cameras[:MOST_NAMES]]
    more = len(cameras) - MOST_NAMES
    return '; '.join(told) + (f'; and on {more} more topics' if more > 0 else '')


def _cameras(ours: Topic, topics: Sequence[Topic]) -> List[Topic]:
    """Return one topic for each camera: ours under another transport first, then by name."""
    by_base: Dict[str, Topic] = {}
    for topic in sorted(topics, key=lambda topic: topic.kind == ours.kind):
        by_base[base(topic)] = topic  # of our type where there is one: it comes last
    return sorted(by_base.values(), key=lambda topic: (base(topic) != base(ours), topic.name))
