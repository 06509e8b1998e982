"""Why an image's stamp does not match the clock, and what to do about it."""

MINUTE_S, HOUR_S, DAY_S, YEAR_S = 60.0, 3600.0, 86400.0, 31_557_600.0
SPANS = ((2 * YEAR_S, YEAR_S, 'years'), (2 * DAY_S, DAY_S, 'days'), (2 * HOUR_S, HOUR_S, 'hours'),
         (2 * MINUTE_S, MINUTE_S, 'minutes'), (0.0, 1.0, 's'))
# A clock below this counts from the start of a machine or of a simulation, not from 1970.
STARTED_S = 10 * YEAR_S
LATE_S = 10.0  # longer than any transport takes: the clocks differ, or it is a recording
# Time zones differ by half hours (a few by quarters), clocks set to them by a few seconds.
ZONE_S, ZONE_SLACK_S, FARTHEST_ZONE_S = HOUR_S / 2, 20.0, 14 * HOUR_S
NO_CLOCK = ("this node's time is 0: use_sim_time is set, but no /clock message has arrived; fix: "
            'start the simulator, or set use_sim_time to false')


def span(seconds: float) -> str:
    """Return a duration with its unit, from seconds to years."""
    unit_s, unit = next((unit_s, unit) for least, unit_s, unit in SPANS if seconds >= least)
    return f'{seconds / unit_s:.3g} {unit}'


def too_old(stamp_ns: int, now_ns: int, image_timeout: float) -> str:
    """Return that an image is too old, and the likely cause."""
    age_s = (now_ns - stamp_ns) / 1e9
    return (f'the image was {span(age_s)} old when it arrived (image_timeout is '
            f'{image_timeout:g} s); {_behind(stamp_ns / 1e9, now_ns / 1e9, age_s)}')


def in_future(stamp_ns: int, now_ns: int) -> str:
    """Return that an image is stamped in the future, and the likely cause."""
    ahead_s = (stamp_ns - now_ns) / 1e9
    return (f'the image is stamped {span(ahead_s)} in the future; synchronise the clocks of '
            f'camera and node (or set use_sim_time on both){_ahead(now_ns / 1e9, ahead_s)}')


def _behind(stamp_s: float, now_s: float, age_s: float) -> str:
    if stamp_s < STARTED_S < now_s:
        return (f"the camera's clock counts from a start {span(stamp_s)} ago, not from 1970: "
                'simulated time (fix: set use_sim_time to true here) or time since boot (fix: let '
                'the camera driver stamp with ROS time)')
    if age_s < LATE_S:
        return "it was delayed in transport, or the camera's clock is behind"
    return ("the camera's clock is behind (fix: synchronise both clocks with chrony or PTP), or "
            'this is a recording (fix: ros2 bag play --clock, with use_sim_time true here)'
            + _zone(age_s))


def _ahead(now_s: float, ahead_s: float) -> str:
    if now_s < STARTED_S < now_s + ahead_s:
        return (f"; this node's clock counts from a start {span(now_s)} ago: use_sim_time is set "
                'here but not at the camera, or the clock of this machine was never set')
    return _zone(ahead_s)


def _zone(off_s: float) -> str:
    """Return a hint if the difference is that of a time zone; else ''."""
    zones = round(off_s / ZONE_S)
    if zones and off_s < FARTHEST_ZONE_S + ZONE_SLACK_S and (
            abs(off_s - zones * ZONE_S) < ZONE_SLACK_S):
        return '; the difference is a time zone: one clock is set to local time, stamps are UTC'
    return ''
