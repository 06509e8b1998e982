"""What diagnostics say: plain values in, one line that a person can act on out."""

from dataclasses import dataclass, field
import math
from typing import Dict, List, Sequence, Tuple

from .graph import Endpoint, GraphReport, LINGERS, listed, problems, RELIABLE, Topic, unheard
from .no_image import elsewhere, wrong_type
from ..latency_recorder import Summary
from ...system.realtime import Answer
from ...types import BackendInfo, Command

OK, WARN, ERROR, STALE = 0, 1, 2, 3

LOST_HINT = ("start the camera's process with FASTRTPS_DEFAULT_PROFILES_FILE={profile} (from "
             'Kilted on FASTDDS_DEFAULT_PROFILES_FILE): large images need its shared memory, '
             'which belongs to the sender')
OTHER_HINT = 'send smaller images or fewer, or compressed ones (image_transport:=compressed)'
ALL_WELL = GraphReport()
WORST_LOSS = 0.01  # share of the frames since the last report; more is a warning
SLOW = 0.8  # of image_timeout between two images: their jitter and age have to fit in, too
WORST_MISSES = 0.01  # share of the cycles in the window; more is a warning


@dataclass(frozen=True)
class Status:
    """One line of diagnostics with its details; level as in diagnostic_msgs/DiagnosticStatus."""

    name: str
    level: int
    message: str
    values: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CameraReport:
    """What is known of the camera's topic; counts are since the start."""

    ours: Topic  # what we subscribe to
    publishers: Tuple[Endpoint, ...]  # of the topic, whatever type they publish
    reliability: str  # what we ask for
    profile: str = ''  # where the Fast DDS profile is; '' where the middleware is another one
    received: int = 0
    replaced: int = 0  # by a newer one, while the one before was in work
    lost: int = 0  # on the way, as the middleware counts them
    lost_known: bool = True  # false where this middleware cannot count them
    picture: str = ''  # size and encoding of the newest frame
    elsewhere: Tuple[Topic, ...] = ()  # where there are images, while there are none here
    domain: str = ''  # what part of the world we see

    @property
    def cameras(self) -> List[Endpoint]:
        """Return the publishers of what we read."""
        return [one for one in self.publishers if one.kind == self.ours.kind]

    @property
    def others(self) -> List[Endpoint]:
        """Return the publishers of other types, which never reach us."""
        return [one for one in self.publishers if one.kind != self.ours.kind]


def camera_status(now: CameraReport, before: CameraReport, seconds: float,
                  image_timeout: float = math.inf) -> Status:
    """Tell how the frames come in; `before` is the report of `seconds` ago."""
    came, lost = now.received - before.received, now.lost - before.lost
    values = {
        'topic': now.ours.name, 'publishers': str(len(now.cameras)),
        'publishers offer': ', '.join(sorted({one.reliability for one in now.cameras})) or '-',
        'subscribed': now.reliability, 'picture': now.picture or '-',
        'received': str(now.received), 'replaced by a newer one': str(now.replaced),
        'lost in transport': str(now.lost) if now.lost_known else 'unknown',
    }
    level, message = OK, f'{came / max(seconds, 1e-9):.1f} images/s, {now.picture}'
    if came == 0:
        level, message = ERROR, no_image_reason(now)
    elif before.received and seconds / came > SLOW * image_timeout:  # it came all the time
        level = WARN
        message += (f'; that is one every {seconds / came:.2g} s, and image_timeout is '
                    f'{image_timeout:g} s, so the robot stops in between: raise image_timeout, or '
                    "the camera's rate")
    if lost > WORST_LOSS * (came + lost):
        level = max(level, WARN)
        message = f'{lost} of {came + lost} images lost in transport; {_hint(now)}'
    crowd = _crowd(now)
    return Status('camera', max(level, WARN) if crowd else level, message + crowd, values)


def _crowd(camera: CameraReport) -> str:
    """Say who should not be on the topic beside a camera."""
    told, topic = '', camera.ours.name
    if len(camera.cameras) > 1:
        names = ', '.join(one.node for one in camera.cameras)
        told += (f'; {len(camera.cameras)} publishers on {topic}: {names}; only one camera may '
                 'send there: stop the others or remap them')
    if camera.cameras and camera.others:
        names = listed([f'{one.node} ({one.kind})' for one in camera.others])
        told += f'; {names} publishes on {topic} what this node cannot read: remap it'
    return told


def no_image_reason(camera: CameraReport) -> str:
    """Say why there is no image, as far as it can be told from here."""
    count, topic = len(camera.cameras), camera.ours.name
    reason = (f'no image {"any more" if camera.received else "yet"} on {topic}: '
              f'{count} publisher{"" if count == 1 else "s"}')
    if count == 0:
        return f'{reason}; {_absent(camera)}'
    if camera.reliability == RELIABLE and not all(
            one.reliability == RELIABLE for one in camera.cameras):
        return (f'{reason}, best effort, but image_qos asks for reliable: nothing can arrive; '
                'set image_qos to auto')
    if camera.lost and not camera.received:
        return f'{reason}; all is lost on the way: {_hint(camera)}'
    names = listed([one.node for one in camera.cameras])
    return (f'{reason} ({names}), but nothing arrives: look with ros2 topic hz {topic}; it sends '
            f'nothing, or has died ({LINGERS})')


def _absent(camera: CameraReport) -> str:
    """Say what to do where nobody publishes what we read."""
    wrong = wrong_type(camera.ours, camera.others)
    if wrong:
        return wrong
    found = elsewhere(camera.ours, camera.elsewhere)
    return 'start the camera, or remap `image` to its topic; ' + (
        found or f'nobody publishes images in {camera.domain}; cameras in another domain, or out '
        'of the range of discovery, are not seen')


def _hint(camera: CameraReport) -> str:
    return LOST_HINT.format(profile=camera.profile) if camera.profile else OTHER_HINT


def policy_status(policy: str, info: BackendInfo, verified: str, unverified: str = '',
                  changed: str = '', fallback: str = '', spares: str = '') -> Status:
    """
    Tell what drives, as it really is.

    `verified` and `unverified` are its verification.standing; `changed` is what its files on disk
    no longer are; `fallback` says what failed, and `spares` lists what is to drive then.
    """
    message = f'{policy} by {info}'
    if fallback:
        message += f'; {fallback}'
    if unverified:
        message += f'; {unverified}'
    if changed:
        message += f'; {changed}: the next start would not drive by the same'
    return Status('policy', WARN if changed or unverified or fallback else OK, message, {
        'policy': policy, 'backend': info.name, 'library': f'{info.library} {info.version}',
        'provider': info.provider, 'device': info.device, 'precision': info.precision,
        'verified': verified, **({'layers': info.layers} if info.layers else {}),
        **({'GPU': info.note} if info.note else {}),
        **({'fall-backs': spares} if spares else {})})


def latency_status(summary: Summary, period_ms: float, replaced: int) -> Status:
    """Hold the cycles of the window against the control period."""
    values = {f'{name} p50 / p95 / p99 / max {"" if name == "used" else "ms"}'.rstrip():
              str(percentiles) for name, percentiles in summary.fields.items()}
    values.update({
        'control period ms': f'{period_ms:g}', 'cycles per second': f'{summary.rate:.1f}',
        'misses in window': f'{summary.misses} of {summary.cycles}',
        'misses since start': f'{summary.total_misses} of {summary.total_cycles}',
        'frames replaced by a newer one': str(replaced)})
    if not summary.cycles:
        return Status('latency', OK, 'no cycle yet', values)
    cycle = summary.fields['cycle']
    level = WARN if summary.misses > WORST_MISSES * summary.cycles else OK
    message = (f'cycle p50 {cycle.p50:.2f} ms, p99 {cycle.p99:.2f} ms of {period_ms:g} ms; '
               f'{summary.misses} of {summary.cycles} missed it')
    return Status('latency', level, message, values)


def driving_status(command: Command, enabled: bool, stops: int, last_stop: str,
                   hang: str = '', graph: GraphReport = ALL_WELL) -> Status:
    """
    Tell whether the robot drives, and if not, why.

    `stops` counts the single frames that were refused since the last report, the newest for
    `last_stop`; `hang` names a stage that does not come back.
    """
    values = {'linear x m/s': f'{command.linear_x:.3f}', 'linear y m/s': f'{command.linear_y:.3f}',
              'enabled': str(enabled), 'stops since the last report': str(stops),
              'subscribers of cmd_vel': str(graph.listeners)}
    if hang:
        return Status('driving', ERROR, f'standing still: {hang}', values)
    if not enabled:
        return Status('driving', WARN, 'disabled: standing still until ~/enable', values)
    if command.is_stop:
        reason = '; '.join(filter(None, (command.reason, graph.clock)))
        return Status('driving', ERROR, f'standing still: {reason}', values)
    if unheard(graph):
        return Status('driving', WARN, f'driving, but {unheard(graph)}', values)
    if stops:
        return Status('driving', WARN, f'driving, but stopped {stops} times since the last '
                      f'report: {last_stop}', values)
    return Status('driving', OK, 'driving', values)


def graph_status(graph: GraphReport) -> Status:
    """Tell who else has to do with the commands, and what is wrong around the node."""
    wrong = problems(graph)
    names = listed([reader.node for reader in graph.readers])
    rivals = ', '.join(rival.node for rival in graph.rivals)
    return Status('graph', WARN if wrong else OK,
                  '; '.join(wrong) or f'{graph.topic} ({graph.kind}) is read by {names}',
                  {'other publishers of cmd_vel': rivals or '-',
                   'subscribers of cmd_vel': names or '-',
                   'nodes of this name': str(graph.namesakes + 1)})


def realtime_status(answers: Sequence[Answer]) -> Status:
    """Tell what of the parameter `realtime` the machine has granted."""
    values = {answer.request: answer.text if answer.granted else f'refused: {answer.text}'
              for answer in answers}
    refused = [f'{answer.request} ({answer.text})' for answer in answers if not answer.granted]
    if refused:
        return Status('realtime', WARN, 'refused: ' + ', '.join(refused), values)
    return Status('realtime', OK, 'granted: ' + ', '.join(answer.request for answer in answers),
                  values)
