"""The statuses of diagnostics: plain values in, one line that a person can act on out."""

from dataclasses import dataclass, field
import math
from typing import Dict, List, Mapping, Sequence, Tuple

from .graph import Endpoint, GraphReport, LINGERS, listed, problems, RELIABLE, Topic
from .no_image import elsewhere, wrong_type
from ..latency_recorder import Percentiles, Summary
from ...system.realtime import Answer
from ...types import BackendInfo, CAMERA, DRIVING, POLICY

OK, WARN, ERROR, STALE = 0, 1, 2, 3
LATENCY, GRAPH = 'latency', 'graph'
STATUSES = (CAMERA, POLICY, LATENCY, DRIVING, GRAPH)  # in every report
REALTIME = 'realtime'  # if the parameter of this name is set

LOSS_FIX = ("start the camera's process with FASTRTPS_DEFAULT_PROFILES_FILE={profile} (since "
            'Kilted: FASTDDS_DEFAULT_PROFILES_FILE), because large images need the shared memory '
            'of the sender')
LOSS_FIX_OTHER_RMW = ('send smaller images, fewer images, or compressed ones '
                      '(image_transport:=compressed)')
MAX_LOSS = 0.01  # share of the frames since the last report; above it, a warning
SLOW = 0.8  # share of image_timeout between two images; jitter and age need the rest
MAX_MISSES = 0.01  # share of the cycles in the window; above it, a warning


@dataclass(frozen=True)
class Status:
    """
    One line of diagnostics with its details; level as in diagnostic_msgs/DiagnosticStatus.

    Machines read the details: each has one number, whose unit ends its key, or one text.
    """

    name: str
    level: int
    message: str
    values: Dict[str, str] = field(default_factory=dict)


def flag(value: bool) -> str:
    """Return True or False as text, as diagnostic_updater's add(key, bool) writes it in C++."""
    return 'True' if value else 'False'


@dataclass(frozen=True)
class CameraReport:
    """The state of the image topic; counts are since the start."""

    subscribed: Topic
    publishers: Tuple[Endpoint, ...]  # of the topic, of any type
    reliability: str  # of the subscription
    profile: str = ''  # path of the Fast DDS profile; '' under another middleware
    received: int = 0
    replaced: int = 0  # by a newer one before the driving thread took them
    lost: int = 0  # in transport, counted by the middleware
    lost_known: bool = True  # whether this middleware counts them
    picture: str = ''  # size and encoding of the newest frame
    elsewhere: Tuple[Topic, ...] = ()  # other topics with images; only if none here
    domain: str = ''  # the ROS domain and the discovery range

    @property
    def cameras(self) -> List[Endpoint]:
        """Return the publishers of the subscribed type."""
        return [one for one in self.publishers if one.kind == self.subscribed.kind]

    @property
    def others(self) -> List[Endpoint]:
        """Return the publishers of other types, whose messages never arrive."""
        return [one for one in self.publishers if one.kind != self.subscribed.kind]


def camera_status(now: CameraReport, before: CameraReport, seconds: float,
                  image_timeout: float = math.inf) -> Status:
    """Return how images arrive; `before` is the report of `seconds` ago."""
    came, lost = now.received - before.received, now.lost - before.lost
    rate = f'{came / max(seconds, 1e-9):.1f}'
    values = {
        'topic': now.subscribed.name, 'publishers': str(len(now.cameras)),
        'publishers offer': ', '.join(sorted({one.reliability for one in now.cameras})) or '-',
        'subscribed': now.reliability, 'picture': now.picture or '-', 'images per second': rate,
        'received': str(now.received), 'replaced by a newer one': str(now.replaced),
        'losses are counted': flag(now.lost_known),
        **({'lost in transport': str(now.lost)} if now.lost_known else {}),
    }
    level, message = OK, f'{rate} images/s, {now.picture}'
    if came == 0:
        level, message = ERROR, no_image_reason(now)
    elif before.received and seconds / came > SLOW * image_timeout:  # of a whole interval
        level = WARN
        message += (f'; with one every {seconds / came:.2g} s the robot stops in between, because '
                    f'image_timeout is {image_timeout:g} s; fix: raise image_timeout or the '
                    "camera's rate")
    if lost > MAX_LOSS * (came + lost):
        level = max(level, WARN)
        message = f'{lost} of {came + lost} images lost in transport; fix: {_loss_fix(now)}'
    extra = _extra_publishers(now)
    return Status(CAMERA, max(level, WARN) if extra else level, message + extra, values)


def _extra_publishers(camera: CameraReport) -> str:
    """Return which publishers besides one camera are on the topic."""
    text, topic = '', camera.subscribed.name
    if len(camera.cameras) > 1:
        names = ', '.join(one.node for one in camera.cameras)
        text += (f'; {len(camera.cameras)} publishers on {topic}: {names}; expected one camera; '
                 'fix: stop the others or remap them')
    if camera.cameras and camera.others:
        names = listed([f'{one.node} ({one.kind})' for one in camera.others])
        text += (f'; {names} publishes on {topic}, but this node subscribes to '
                 f'{camera.subscribed.kind}; fix: remap it')
    return text


def no_image_reason(camera: CameraReport) -> str:
    """Return why no image arrives, as far as this node can know."""
    count, topic = len(camera.cameras), camera.subscribed.name
    reason = (f'no image {"any more" if camera.received else "yet"} on {topic}: '
              f'{count} publisher{"" if count == 1 else "s"}')
    if count == 0:
        return f'{reason}; {_no_publisher(camera)}'
    if camera.reliability == RELIABLE and not all(
            one.reliability == RELIABLE for one in camera.cameras):
        return (f'{reason}, best effort, but image_qos is reliable, so nothing can arrive; '
                'fix: set image_qos to auto')
    if camera.lost and not camera.received:
        return f'{reason}; all images are lost in transport; fix: {_loss_fix(camera)}'
    names = listed([one.node for one in camera.cameras])
    return (f'{reason} ({names}), but nothing arrives: it sends nothing, or has died ({LINGERS}); '
            f'fix: check it with ros2 topic hz {topic}')


def _no_publisher(camera: CameraReport) -> str:
    """Return what to do if no node publishes the subscribed type."""
    wrong = wrong_type(camera.subscribed, camera.others)
    if wrong:
        return wrong
    found = elsewhere(camera.subscribed, camera.elsewhere)
    if found:
        return f'fix: start the camera, or remap `image` to its topic; {found}'
    return (f'no node publishes images in {camera.domain} (cameras in another domain or outside '
            'the discovery range are not visible); fix: start the camera, or remap `image` to its '
            'topic')


def _loss_fix(camera: CameraReport) -> str:
    return LOSS_FIX.format(profile=camera.profile) if camera.profile else LOSS_FIX_OTHER_RMW


def policy_status(policy: str, info: BackendInfo, verified: str, unverified: str = '',
                  changed: str = '', fallback: str = '', spares: str = '', tuned: str = '',
                  untuned: str = '') -> Status:
    """
    Return which policy drives, on which backend.

    `verified` and `unverified` come from bundle.verdicts.standing; `changed` names the files that
    changed on disk; `fallback` is why a fallback drives, and `spares` lists the fallbacks.
    `tuned` is what the settings were tuned for, `untuned` why tuned ones are not used.
    """
    message = f'{policy} by {info}'
    if fallback:
        message += f'; {fallback}'
    if unverified:
        message += f'; {unverified}'
    if changed:
        message += f'; {changed}: the next start will load something else'
    if untuned:
        message += f'; it drives by the default options: {untuned}'
    return Status(POLICY, WARN if changed or unverified or fallback or untuned else OK, message, {
        'policy': policy, 'backend': info.name, 'library': f'{info.library} {info.version}',
        'provider': info.provider, 'device': info.device, 'precision': info.precision,
        'verified': verified, **({'tuned for': tuned} if tuned else {}),
        **({'layers': info.layers} if info.layers else {}),
        **({'GPU': info.note} if info.note else {}),
        **({'fall-backs': spares} if spares else {})})


def latency_status(summary: Summary, period_ms: float, replaced: int) -> Status:
    """Return the latency of the cycles in the window, compared with the control period."""
    values = {
        'control period ms': f'{period_ms:g}', 'cycles per second': f'{summary.rate:.1f}',
        'cycles in window': str(summary.cycles), 'misses in window': str(summary.misses),
        'cycles since start': str(summary.total_cycles),
        'misses since start': str(summary.total_misses),
        'frames replaced by a newer one': str(replaced), **_percentiles(summary.fields)}
    if not summary.cycles:
        return Status(LATENCY, OK, 'no cycle yet', values)
    cycle = summary.fields['cycle']
    level = WARN if summary.misses > MAX_MISSES * summary.cycles else OK
    message = (f'cycle p50 {cycle.p50:.2f} ms, p99 {cycle.p99:.2f} ms of {period_ms:g} ms; '
               f'{summary.misses} of {summary.cycles} missed it')
    return Status(LATENCY, level, message, values)


def _percentiles(fields: Mapping[str, Percentiles]) -> Dict[str, str]:
    """Return one value for each percentile of each field: 'cycle p99 ms', 'used max %'."""
    return {f'{name} {quantile} {"%" if name == "used" else "ms"}':
            f'{value * (100 if name == "used" else 1):.2f}'
            for name, percentiles in fields.items()
            for quantile, value in zip(('p50', 'p95', 'p99', 'max'), percentiles)}


def inactive_status(name: str, what: str) -> Status:
    """Return the status of a part that does nothing in the lifecycle state inactive."""
    return Status(name, OK, f'inactive: {what}', {})


def graph_status(graph: GraphReport) -> Status:
    """Return who subscribes to the commands, and what is wrong in the graph."""
    wrong = problems(graph)
    names = listed([reader.node for reader in graph.subscribers])
    others = ', '.join(other.node for other in graph.other_publishers)
    return Status(GRAPH, WARN if wrong else OK,
                  '; '.join(wrong) or f'{graph.topic} ({graph.kind}) is read by {names}',
                  {'other publishers of cmd_vel': str(len(graph.other_publishers)),
                   'names of other publishers': others or '-',
                   'subscribers of cmd_vel': str(graph.connected),
                   'names of subscribers': names or '-',
                   'nodes of this name': str(graph.namesakes + 1)})


def realtime_status(answers: Sequence[Answer]) -> Status:
    """Return which requests of the parameter `realtime` the machine has granted."""
    values = {answer.request: answer.text if answer.granted else f'refused: {answer.text}'
              for answer in answers}
    refused = [f'{answer.request} ({answer.text})' for answer in answers if not answer.granted]
    if refused:
        return Status(REALTIME, WARN, 'refused: ' + ', '.join(refused), values)
    return Status(REALTIME, OK, 'granted: ' + ', '.join(answer.request for answer in answers),
                  values)
