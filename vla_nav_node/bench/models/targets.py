"""The targets for a GPU, and what was found."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .matrix import device_of, EAGER, GRAPH, Kind, TENSORRT

Row = Dict[str, Any]
Absent = Dict[str, Dict[str, str]]
BEST = Kind(TENSORRT, 'fp16').label
MOST_MS = {'simple': 0.10, 'accurate': 0.20}  # p50 of a step by BEST, back to back
FASTER = 3.0  # times, than torch eager in the same precision
WITHIN = 2.0  # times, torch with a CUDA graph


class Target(NamedTuple):
    """A line of the last table; `met` is None where nothing was measured."""

    what: str
    wanted: str
    found: str
    met: Optional[bool]


class Medians:
    """The median of each row that ran on a GPU, or why there is none."""

    def __init__(self, rows: Sequence[Row], absent: Absent) -> None:
        """Take the rows of all policies."""
        self._rows = {(row['policy'], row['label']): row for row in rows}
        self._absent = absent

    def p50(self, policy: str, label: str) -> Optional[float]:
        """Return the median in ms, or None."""
        row = self._rows.get((policy, label))
        return row['back_to_back']['p50'] if row and device_of(row) == 'cuda' else None

    def why_not(self, policy: str, label: str) -> str:
        """Return why there is no median."""
        if (policy, label) in self._rows:
            return f'{label} did not run on a GPU'
        return f'{label}: {self._absent.get(policy, {}).get(label, "not asked for")}'


def targets(policies: Sequence[str], rows: Sequence[Row], absent: Absent) -> List[Target]:
    """Return all targets, also those without figures."""
    medians = Medians(rows, absent)
    # As it was trained, or in half precision: the faster of them there.
    eager = [Kind('torch', precision, EAGER).label for precision in ('fp32', 'fp16')]
    graph = [Kind('torch', 'fp16', GRAPH).label]
    return [
        *(_most(medians, policy, most) for policy, most in MOST_MS.items() if policy in policies),
        *(_ratio(medians, policy, *wanted) for policy in policies
          for wanted in ((eager, FASTER, True), (graph, WITHIN, False))),
        _gates(rows)]


def _most(medians: Medians, policy: str, most: float) -> Target:
    p50 = medians.p50(policy, BEST)
    found = medians.why_not(policy, BEST) if p50 is None else f'{p50:.3f} ms'
    return Target(f'{policy}, {BEST}: p50', f'<= {most:.2f} ms', found,
                  None if p50 is None else p50 <= most)


def _ratio(medians: Medians, policy: str, labels: Sequence[str], limit: float,
           least: bool) -> Target:
    """Compare the fastest of some rows with BEST."""
    others = {label: p50 for label in labels
              if (p50 := medians.p50(policy, label)) is not None}
    fastest = min(others, key=lambda label: others[label], default=labels[0])
    what, wanted = f'{policy}: {fastest} / {BEST}', f'{">=" if least else "<="} {limit:g} x'
    p50 = medians.p50(policy, BEST)
    if p50 is None or not others:
        return Target(what, wanted,
                      medians.why_not(policy, BEST if p50 is None else fastest), None)
    ratio = others[fastest] / p50
    return Target(what, wanted, f'{ratio:.2f} x', ratio >= limit if least else ratio <= limit)


def _gates(rows: Sequence[Row]) -> Target:
    parities = [row['parity'] for row in rows]
    passed = sum(parity.get('problems') == [] for parity in parities)
    late = sum('unmeasured' in parity for parity in parities)
    bad = [f'{row["policy"]} {row["label"]}' for row in rows
           if row['parity'].get('problems') or row['parity'].get('failed')]
    found = f'{passed} of {len(rows)}' + (f', {late} not compared' if late else '')
    met = False if bad else None if late or not rows else True
    return Target('rows through the gates of verify', 'all',
                  found + (f'; not: {", ".join(bad)}' if bad else ''), met)
