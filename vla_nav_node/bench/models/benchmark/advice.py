"""Which row for which kind of robot, worked out from the figures, and saying from which."""

from typing import Any, Callable, List, NamedTuple, Optional

from .ranking import Group, Row

SAME = 1e-4  # m/s: closer than that to the reference is equally precise
FAST_MS, USUAL_MS = '10', '20'  # budgets, as the figures name them


class Kind(NamedTuple):
    """A kind of robot: what it must not miss, and what then decides."""

    name: str
    budget: str  # ms; no paced step may be longer
    cost: Callable[[Row], Any]
    told: Callable[[Row], str]


def _p99(row: Row) -> Any:
    return row['paced']['p99'], row['paced']['max']


def _precision(row: Row) -> Any:
    return max(row['agreement']['mean'], SAME), row['paced']['p95']


def _thrift(row: Row) -> Any:
    return row['paced']['cpu_ms'], row['memory']['own']


KINDS = (
    Kind('fast and dangerous (a drone, a car)', FAST_MS, _p99,
         lambda row: f'p99 {row["paced"]["p99"]:.2f} ms, longest {row["paced"]["max"]:.2f} ms'),
    Kind('precise (an industrial arm)', USUAL_MS, _precision,
         lambda row: f'{row["agreement"]["mean"]:.1e} m/s off {row["agreement"]["with"]} in the '
                     f'mean, p95 {row["paced"]["p95"]:.2f} ms'),
    Kind('service (runs all day on a battery)', USUAL_MS, _thrift,
         lambda row: f'{row["paced"]["cpu_ms"]:.2f} ms of processor time a step, '
                     f'{row["memory"]["own"]:.0f} MB of its own'))


class Advice(NamedTuple):
    """A row for a kind of robot; None when no row is good enough."""

    policy: str
    device: str
    kind: str
    row: Optional[str]
    because: str


def advise(groups: List[Group]) -> List[Advice]:
    """Return advice for each group and kind of robot."""
    return [_advise(group, kind) for group in groups for kind in KINDS]


def _advise(group: Group, kind: Kind) -> Advice:
    fit = sorted((row for row in group.rows if not row['paced']['misses'][kind.budget]),
                 key=kind.cost)
    runs = group.rows[0]['paced']['runs']
    if not fit:
        least = min(group.rows, key=lambda row: row['paced']['misses'][kind.budget])
        return Advice(group.policy, group.device, kind.name, None,
                      f'none here: even {least["label"]} took over {kind.budget} ms in '
                      f'{least["paced"]["misses"][kind.budget]} of {runs} paced steps. A smaller '
                      'policy, a faster machine, or one with less else to do')
    because = (f'none of {runs} paced steps over {kind.budget} ms, and {kind.told(fit[0])}')
    if len(fit) > 1:
        because += f'; next is {fit[1]["label"]}: {kind.told(fit[1])}'
    if fit[0]['may_not_drive']:
        because += f'. The node refuses it as yet: it {fit[0]["may_not_drive"]}'
    return Advice(group.policy, group.device, kind.name, fit[0]['label'], because)
