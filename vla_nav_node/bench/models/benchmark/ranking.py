"""Which rows may be ranked against each other, and their order; the rest with the reason."""

from typing import Any, Dict, List, NamedTuple

from ..side_by_side.figures import device_of
from ....bundle.bundle import DEFAULT_TOLERANCE

Row = Dict[str, Any]
LARGEST = max(DEFAULT_TOLERANCE.values())  # where a row does not say its precision
RULE = ('Ranked by the steps that took longer than the period when paced, then by the paced p95: '
        'a high mean rate says nothing of the steps that come too late.')


class Group(NamedTuple):
    """Rows that did the same work on the same device, best first."""

    policy: str
    device: str
    rows: List[Row]


class Ranking(NamedTuple):
    """`refused` are sentences: what was not ranked, against what, and why."""

    groups: List[Group]
    refused: List[str]


def rank(rows: List[Row]) -> Ranking:
    """Rank rows of the same work on the same device; refuse the others."""
    ranked = [row for row in rows if not why_not(row)]
    refused = [f'{row["policy"]}, {row["label"]}: not ranked, {why_not(row)}'
               for row in rows if why_not(row)]
    groups: Dict[Any, List[Row]] = {}
    for row in ranked:
        groups.setdefault(_key(row), []).append(row)
    found = [Group(members[0]['policy'], device_of(members[0]), sorted(members, key=order))
             for members in groups.values()]
    return Ranking(found, refused + _apart(found))


def why_not(row: Row) -> str:
    """Say why a row did other work than its policy's other rows; empty when it did the same."""
    if not row['carries_state']:
        return 'it carries no state: every step starts from zero, which is less work'
    if not row['agreement']['finite']:
        return 'it gives numbers that are not finite'
    allowed = DEFAULT_TOLERANCE.get(row['precision'], LARGEST)
    if row['agreement']['mean'] > allowed:
        return (f'its actions differ from those of {row["agreement"]["with"]} by '
                f'{row["agreement"]["mean"]:.2g} m/s in the mean (at most {allowed:g} is '
                f'{row["precision"]}): it does not compute the same')
    return ''


def order(row: Row) -> Any:
    """Return what rows are sorted by."""
    return row['late'], row['paced']['p95'], row['paced']['p50']


def _key(row: Row) -> Any:
    work = row['work']
    return (work['policy'], work['weights_sha256'], tuple(work['picture']), device_of(row),
            row['period_ms'])


def _apart(groups: List[Group]) -> List[str]:
    """Say which groups are not ranked against each other."""
    said = []
    for policy in dict.fromkeys(group.policy for group in groups):
        devices = list(dict.fromkeys(group.device for group in groups if group.policy == policy))
        if len(devices) > 1:
            said.append(f'{policy}: rows on ' + ' and on '.join(devices) + ' are ranked apart: '
                        'against each other they would compare devices, not backends')
    policies = list(dict.fromkeys(group.policy for group in groups))
    if len(policies) > 1:
        said.append(' and '.join([', '.join(policies[:-1]), policies[-1]]) + ' are ranked apart: '
                    'different policies are different work')
    return said
