"""The camera: QoS, rate, size, losses, and its clock."""

from typing import Any, Dict, Iterator, List

from .installation import why_none
from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place

AHEAD_S, BEHIND_S = 0.02, 0.2  # the node stops for stamps in the future, and after image_timeout
SLOW_HZ = 5.0  # image_timeout is 0.2 s by default
LOST = 0.02
CLOCKS = 'synchronise both machines (sudo chronyc makestep; chronyc sources), or let the driver ' \
    'stamp with the time of this machine'


def run(place: Place) -> Iterator[Finding]:
    """Judge every image topic."""
    reason = why_none(place)
    facts = {} if reason else place.graph().facts
    if reason or not facts.get('images'):
        yield skipped(reason or 'no image topic has a publisher')
        return
    for topic in facts['images']:
        yield from judge_qos(topic)
        heard = facts.get('heard', {}).get(topic['topic'])
        if heard:
            yield from judge_heard(topic, heard, facts['simulated'], place.live_s)
        else:
            yield ok(f'{topic["topic"]}: {listed(topic["publishers"])} (not listened to)')


def listed(endpoints: List[List[str]]) -> str:
    """Return publishers or subscriptions with their reliability."""
    return ', '.join(f'{name} ({reliability})' for name, _, reliability, *_ in endpoints)


def judge_qos(topic: Dict[str, Any]) -> Iterator[Finding]:
    """Judge who sends, and whether those who asked get anything."""
    name = topic['topic']
    for sender, reader, reason in topic['conflicts']:
        yield failed(f'{name}: {reader} gets nothing from {sender}: {reason}', 'a subscription '
                     'that asks for no more than the camera offers',
                     f'ask for best effort in {reader} (the node: image_qos:=auto), or let '
                     f'{sender} offer reliable')
    senders = topic['publishers']
    if len(senders) > 1:
        yield failed(f'{name} has {len(senders)} publishers: {listed(senders)}', 'one camera on '
                     'one topic: the node stops for two', 'stop one, or remap it')
    offers = {entry[2] for entry in senders}
    losing = [entry[0] for entry in topic['subscribers'] if entry[2] == 'best effort']
    if offers == {'reliable'} and losing:
        yield warning(f'{name}: the camera offers reliable, {", ".join(losing)} asks for best '
                      'effort: a lost part of an image is not sent again', 'reliable on both '
                      'sides', 'set image_qos to auto or reliable there')


def judge_heard(topic: Dict[str, Any], heard: Dict[str, Any], simulated: bool,
                seconds: float) -> Iterator[Finding]:
    """Judge what was heard."""
    name = topic['topic']
    if heard['problem']:
        yield failed(f'{name}: {heard["problem"]}', 'images that can be read',
                     'see the encodings in the README')
    if heard['images'] < 2:
        yield failed(f'{name}: {heard["images"]} image(s) in {seconds:g} s from '
                     + listed(topic['publishers']), 'images', 'is the camera paused? set the Fast '
                     'DDS profile where it starts: see the check fastdds-profile')
        return
    yield from judge_stamps(name, heard['age_s'], simulated)
    if heard['hz'] < SLOW_HZ:
        yield warning(f'{name}: {heard["hz"]:.1f} Hz', f'{SLOW_HZ:g} Hz or more: the node stops '
                      'when an image is older than image_timeout (0.2 s)', 'let the camera send '
                      'more often, or raise image_timeout')
    lost, sent = heard['lost'], heard['lost'] + heard['images']
    if lost > LOST * sent:
        yield warning(f'{name}: {lost} of {sent} images were lost', f'{LOST:.0%} at most',
                      "export the Fast DDS profile in the camera's process: see the check "
                      'fastdds-profile')
    yield ok(f'{name}: {listed(topic["publishers"])}, {heard["hz"]:.1f} Hz, '
             f'{heard["size"][0]}x{heard["size"][1]} {heard["encoding"]}, {lost} of {sent} lost, '
             f'age {1e3 * heard["age_s"]:.0f} ms')


def judge_stamps(name: str, age_s: float, simulated: bool) -> Iterator[Finding]:
    """Judge the age of the images on this machine's clock."""
    if simulated:  # the stamps follow /clock
        return
    if age_s < -AHEAD_S:
        yield failed(f'{name}: its stamps are {-age_s:.2f} s ahead of this clock: the node stops '
                     'the robot', 'stamps of the past', CLOCKS)
    elif age_s > BEHIND_S:
        yield failed(f'{name}: its images are {age_s:.2f} s old when they arrive: the node stops '
                     f'the robot after image_timeout ({BEHIND_S:g} s by default)',
                     'one clock, and images that are sent at once', CLOCKS)


CHECK = Check('camera', 'with an image topic in the graph', 'publishers, QoS of both sides, and '
              'the images of --live seconds', run)
