"""Which rows may be ranked with each other, their order, and advice for kinds of robot."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .matrix import device_of
from ...bundle.bundle import DEFAULT_TOLERANCE

Row = Dict[str, Any]
LARGEST = max(DEFAULT_TOLERANCE.values())  # for a row that does not report its precision
RULE = ('Ranked by the steps that took longer than the period when paced, then by the paced p99: '
        'a robot steps at the pace of its camera, and suffers from the steps that come too late.')
SAME = 1e-4  # m/s: rows closer than that to the reference are equally precise
FAST_MS, USUAL_MS = '10', '20'  # budgets, as the figures name them


class Group(NamedTuple):
    """Rows that did the same work on the same device, best first."""

    policy: str
    device: str
    rows: List[Row]


class Ranking(NamedTuple):
    """Ranked groups; `refused` are sentences that name what was not ranked, and why."""

    groups: List[Group]
    refused: List[str]


class Robot(NamedTuple):
    """A kind of robot: the budget that no paced step may exceed, and what then decides."""

    name: str
    budget: str  # ms
    cost: Callable[[Row], Any]
    text: Callable[[Row], str]


ROBOTS = (
    Robot('fast and dangerous (a drone, a car)', FAST_MS,
          lambda row: (row['paced']['p99'], row['paced']['max']),
          lambda row: f'p99 {row["paced"]["p99"]:.2f} ms, longest {row["paced"]["max"]:.2f} ms'),
    Robot('precise (an industrial arm)', USUAL_MS,
          lambda row: (max(row['agreement']['mean'], SAME), row['paced']['p95']),
          lambda row: f'{row["agreement"]["mean"]:.1e} m/s off {row["agreement"]["with"]} in the '
                      f'mean, p95 {row["paced"]["p95"]:.2f} ms'),
    Robot('service (runs all day on a battery)', USUAL_MS,
          lambda row: (row['paced']['cpu_ms'], row['memory']['own']),
          lambda row: f'{row["paced"]["cpu_ms"]:.2f} ms of processor time a step, '
                      f'{row["memory"]["own"]:.0f} MB of its own'))


class Advice(NamedTuple):
    """A row for a kind of robot; None when no row is good enough."""

    policy: str
    device: str
    kind: str
    row: Optional[str]
    because: str


def rank(rows: List[Row]) -> Ranking:
    """Rank rows of the same work on the same device; refuse the others."""
    groups: Dict[Any, List[Row]] = {}
    refused: List[str] = []
    for row in rows:
        reason = why_not(row)
        if reason:
            refused.append(f'{row["policy"]}, {row["label"]}: not ranked, {reason}')
        else:
            groups.setdefault(_work(row), []).append(row)
    ranked = [Group(members[0]['policy'], device_of(members[0]), sorted(members, key=order))
              for members in groups.values()]
    return Ranking(ranked, refused + _apart(ranked))


def why_not(row: Row) -> str:
    """Return why a row did other work than its policy's other rows; empty if it did the same."""
    if not row['carries_state']:
        return 'it carries no state: every step starts from zero, which is less work'
    if not row['agreement']['finite']:
        return 'its actions are not finite'
    allowed = DEFAULT_TOLERANCE.get(row['precision'], LARGEST)
    if row['agreement']['mean'] > allowed:
        return (f'its actions differ from those of {row["agreement"]["with"]} by '
                f'{row["agreement"]["mean"]:.2g} m/s in the mean (at most {allowed:g} is '
                f'{row["precision"]}): it does not compute the same')
    return ''


def order(row: Row) -> Any:
    """Return the key that rows are sorted by."""
    return row['late'], row['paced']['p99'], row['paced']['p50']


def _work(row: Row) -> Any:
    work = row['work']
    return (work['policy'], work['weights_sha256'], tuple(work['picture']), device_of(row),
            row['period_ms'])


def _apart(groups: List[Group]) -> List[str]:
    """Return which groups are not ranked with each other."""
    policies = list(dict.fromkeys(group.policy for group in groups))
    sentences = []
    for policy in policies:
        devices = list(dict.fromkeys(group.device for group in groups if group.policy == policy))
        if len(devices) > 1:
            sentences.append(f'{policy}: rows on ' + ' and on '.join(devices) + ' are ranked '
                             'apart: together they would compare devices, not backends')
    if len(policies) > 1:
        sentences.append(' and '.join([', '.join(policies[:-1]), policies[-1]])
                         + ' are ranked apart: different policies are different work')
    return sentences


def advise(groups: List[Group]) -> List[Advice]:
    """Return advice for each group and kind of robot."""
    return [_advise(group, robot) for group in groups for robot in ROBOTS]


def _advise(group: Group, robot: Robot) -> Advice:
    def misses(row: Row) -> int:
        return int(row['paced']['misses'][robot.budget])
    fit = sorted((row for row in group.rows if not misses(row)), key=robot.cost)
    runs = group.rows[0]['paced']['runs']
    if not fit:
        least = min(group.rows, key=misses)
        return Advice(group.policy, group.device, robot.name, None,
                      f'none here: even {least["label"]} took over {robot.budget} ms in '
                      f'{misses(least)} of {runs} paced steps. Use a smaller policy, a faster '
                      'machine, or one with less other load')
    because = f'none of {runs} paced steps over {robot.budget} ms, and {robot.text(fit[0])}'
    if len(fit) > 1:
        because += f'; next is {fit[1]["label"]}: {robot.text(fit[1])}'
    if fit[0]['may_not_drive']:
        because += f'. The node refuses it as yet: it {fit[0]["may_not_drive"]}'
    return Advice(group.policy, group.device, robot.name, fit[0]['label'], because)
