"""Two seconds of the control loop at its period."""

from typing import Iterator, List

from ..check import Check, FAILED, failed, Finding, ok, skipped, told, warning
from ..place import Place

SHARE = 0.01  # of the steps that may be late on a machine that does other things as well
REMEDY = ('vla_nav benchmark {} shows which backend and precision is quick enough; end what else '
          'uses the processor')


def run(place: Place) -> Iterator[Finding]:
    """Judge the times of the steps."""
    answer = place.policy()
    facts = answer.facts
    if 'open_error' in facts:
        yield told(facts['open_error'], 'a policy that opens', 'see the checks providers and '
                   'bundle', FAILED)
    elif 'times_ms' in facts:
        yield judge(facts['times_ms'], facts['period_ms'], facts['runs'], facts['directory'])
    elif answer.problem and 'name' in facts or 'error' in facts and 'runs' in facts:
        why = answer.problem or facts['error'][0]
        yield failed(f'the policy {why} {answer.last_line}'.strip(), 'two seconds of steps',
                     'vla_nav benchmark, or another backend')
    else:
        yield skipped('no backend is installed' if 'name' in facts else 'the bundle does not load')


def judge(times_ms: List[float], period_ms: float, runs: str, directory: str) -> Finding:
    """Judge by the median and by the share of late steps."""
    ordered = sorted(times_ms)
    median, p99 = ordered[len(ordered) // 2], ordered[int(0.99 * len(ordered))]
    late = sum(time > period_ms for time in times_ms)
    text = (f'{runs}: p50 {median:.2f} ms, p99 {p99:.2f} ms, {late} of {len(times_ms)} steps over '
            f'{period_ms:g} ms (at the lowest priority)')
    if median > period_ms:
        return failed(text, f'a median under {period_ms:g} ms', REMEDY.format(directory))
    if late > SHARE * len(times_ms):
        return warning(text, f'{SHARE:.0%} late at most', REMEDY.format(directory))
    return ok(text)


CHECK = Check('control-loop', 'everywhere', '100 steps of the policy, one every 20 ms, state '
              'carried, pictures of noise; without ROS', run)
