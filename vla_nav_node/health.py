"""What diagnostics say: plain values in, one line that a person can act on out."""

from dataclasses import dataclass, field
from typing import Dict, Sequence, Tuple

from .interfaces import BackendInfo, Command
from .latency import Summary
from .realtime import Answer

OK, WARN, ERROR, STALE = 0, 1, 2, 3

LOST_HINT = ("start the camera's process with FASTRTPS_DEFAULT_PROFILES_FILE={profile} (from "
             'Kilted on FASTDDS_DEFAULT_PROFILES_FILE): large images need its shared memory, '
             'which belongs to the sender')
WORST_LOSS = 0.01  # share of the frames since the last report; more is a warning
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

    topic: str
    publishers: Tuple[str, ...]  # the reliability each of them offers
    reliability: str  # what we ask for
    profile: str = 'fastdds.xml'  # where the Fast DDS profile is
    received: int = 0
    replaced: int = 0  # by a newer one, while the one before was in work
    lost: int = 0  # on the way, as the middleware counts them
    lost_known: bool = True  # false where this middleware cannot count them
    picture: str = ''  # size and encoding of the newest frame
    names: Tuple[str, ...] = ()  # of the nodes that publish on the topic


def camera_status(now: CameraReport, before: CameraReport, seconds: float) -> Status:
    """Tell how the frames come in; `before` is the report of `seconds` ago."""
    came, lost = now.received - before.received, now.lost - before.lost
    values = {
        'topic': now.topic, 'publishers': str(len(now.publishers)),
        'publishers offer': ', '.join(sorted(set(now.publishers))) or '-',
        'subscribed': now.reliability, 'picture': now.picture or '-',
        'received': str(now.received), 'replaced by a newer one': str(now.replaced),
        'lost in transport': str(now.lost) if now.lost_known else 'unknown',
    }
    level, message = OK, f'{came / max(seconds, 1e-9):.1f} images/s, {now.picture}'
    if came == 0:
        level, message = ERROR, no_image_reason(now)
    if lost > WORST_LOSS * (came + lost):
        level = max(level, WARN)
        message = f'{lost} of {came + lost} images lost in transport; {_hint(now)}'
    if len(now.names) > 1:
        level = max(level, WARN)
        message += (f'; {len(now.names)} publishers on {now.topic}: {", ".join(now.names)}; only '
                    'one camera may send there: stop the others or remap them')
    return Status('camera', level, message, values)


def no_image_reason(camera: CameraReport) -> str:
    """Say why there is no image, as far as it can be told from here."""
    count = len(camera.publishers)
    reason = (f'no image {"any more" if camera.received else "yet"} on {camera.topic}: '
              f'{count} publisher{"" if count == 1 else "s"}')
    if count == 0:
        return f'{reason}; start the camera, or remap `image` to its topic'
    if camera.reliability == 'reliable' and 'best effort' in camera.publishers:
        return (f'{reason}, best effort, but image_qos asks for reliable: nothing can arrive; '
                'set image_qos to auto')
    return f'{reason}; it sends nothing, or everything is lost on the way: {_hint(camera)}'


def _hint(camera: CameraReport) -> str:
    return LOST_HINT.format(profile=camera.profile)


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
                   hang: str = '', listeners: int = 1) -> Status:
    """
    Tell whether the robot drives, and if not, why.

    `stops` counts the single frames that were refused since the last report, the newest for
    `last_stop`; `hang` names a stage that does not come back; `listeners` counts who reads the
    commands.
    """
    values = {'linear x m/s': f'{command.linear_x:.3f}', 'linear y m/s': f'{command.linear_y:.3f}',
              'enabled': str(enabled), 'stops since the last report': str(stops),
              'subscribers of cmd_vel': str(listeners)}
    if hang:
        return Status('driving', ERROR, f'standing still: {hang}', values)
    if not enabled:
        return Status('driving', WARN, 'disabled: standing still until ~/enable', values)
    if command.is_stop:
        return Status('driving', ERROR, f'standing still: {command.reason}', values)
    if not listeners:
        return Status('driving', WARN, 'driving, but nobody listens to cmd_vel: start the base, '
                      'or remap cmd_vel to its topic', values)
    if stops:
        return Status('driving', WARN, f'driving, but stopped {stops} times since the last '
                      f'report: {last_stop}', values)
    return Status('driving', OK, 'driving', values)


def realtime_status(answers: Sequence[Answer]) -> Status:
    """Tell what of the parameter `realtime` the machine has granted."""
    values = {answer.wish: answer.text if answer.granted else f'refused: {answer.text}'
              for answer in answers}
    refused = [f'{answer.wish} ({answer.text})' for answer in answers if not answer.granted]
    if refused:
        return Status('realtime', WARN, 'refused: ' + ', '.join(refused), values)
    return Status('realtime', OK, 'granted: ' + ', '.join(answer.wish for answer in answers),
                  values)
