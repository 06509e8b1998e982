"""What a stamp that does not fit the clock says of the two clocks, and what to do about it."""

MINUTE_S, HOUR_S, DAY_S, YEAR_S = 60.0, 3600.0, 86400.0, 31_557_600.0
SPANS = ((2 * YEAR_S, YEAR_S, 'years'), (2 * DAY_S, DAY_S, 'days'), (2 * HOUR_S, HOUR_S, 'hours'),
         (2 * MINUTE_S, MINUTE_S, 'minutes'), (0.0, 1.0, 's'))
# Below this, a clock does not count from 1970, but from the start of a machine or of a simulation.
STARTED_S = 10 * YEAR_S
# More is not the way from the camera to here, but another clock or another day.
LATE_S = 10.0
# Time zones are whole half hours apart (but for a few of quarters), clocks in them a few seconds.
ZONE_S, ZONE_SLACK_S, FARTHEST_ZONE_S = HOUR_S / 2, 20.0, 14 * HOUR_S
NO_CLOCK = 'the time of this node stands at 0: use_sim_time is set, but no /clock has come'


def span(seconds: float) -> str:
    """Return a duration in the unit that people would use."""
    unit_s, unit = next((unit_s, unit) for least, unit_s, unit in SPANS if seconds >= least)
    return f'{seconds / unit_s:.3g} {unit}'


def too_old(stamp_ns: int, now_ns: int, image_timeout: float) -> str:
    """Say that an image is too old, and why that may be."""
    age_s = (now_ns - stamp_ns) / 1e9
    return (f'the image was {span(age_s)} old when it arrived (image_timeout is '
            f'{image_timeout:g} s); {_behind(stamp_ns / 1e9, now_ns / 1e9, age_s)}')


def in_future(stamp_ns: int, now_ns: int) -> str:
    """Say that an image comes from the future, and why that may be."""
    ahead_s = (stamp_ns - now_ns) / 1e9
    return (f'the image is stamped {span(ahead_s)} in the future; synchronise the clocks of '
            f'camera and node (or set use_sim_time on both){_ahead(now_ns / 1e9, ahead_s)}')


def _behind(stamp_s: float, now_s: float, age_s: float) -> str:
    if stamp_s < STARTED_S < now_s:
        return (f"the camera's clock counts from a start ({span(stamp_s)} ago), not from 1970: "
                'simulated time (set use_sim_time to true here), or time since boot (let the '
                'camera driver stamp with the ROS time)')
    if age_s < LATE_S:
        return "it was held up on its way, or the camera's clock is behind"
    return ("the camera's clock is behind (synchronise both, as by chrony or PTP), or this is a "
            'recording (ros2 bag play --clock, with use_sim_time true here)' + _zone(age_s))


def _ahead(now_s: float, ahead_s: float) -> str:
    if now_s < STARTED_S < now_s + ahead_s:
        return (f'; the clock of this node shows {span(now_s)} since its start: use_sim_time is '
                'set here and not at the camera, or the clock of this machine was never set')
    return _zone(ahead_s)


def _zone(off_s: float) -> str:
    """Tell whether a clock is off as local time is."""
    zones = round(off_s / ZONE_S)
    if zones and off_s < FARTHEST_ZONE_S + ZONE_SLACK_S and (
            abs(off_s - zones * ZONE_S) < ZONE_SLACK_S):
        return '; it is off by a time zone: one clock is set to local time, stamps are UTC'
    return ''
