"""The data of a demo: its episodes, the latency of every cycle, the diagnostics."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Deque, Dict, List, Tuple

from ..driving.latency_recorder import FIELDS, Percentiles

BUDGETS_MS = (10.0, 20.0)
REACHED = 'reached'


@dataclass
class Episode:
    """One episode: its path and its outcome."""

    number: int
    seed: int
    scenario: str
    outcome: str = ''  # reached, contact, timeout; empty while it runs
    seconds: float = 0.0  # simulated
    distance: float = 0.0  # to the cup, m
    path: List[Tuple[float, float]] = field(default_factory=list)

    def update(self, state: Dict[str, Any]) -> None:
        """Take the state that the simulated robot publishes with each frame."""
        self.outcome = state['outcome']
        self.seconds, self.distance = float(state['time']), float(state['distance'])
        self.path.append((float(state['x']), float(state['y'])))

    def __str__(self) -> str:
        """Describe the episode in one line."""
        return (f'{self.outcome or "driving"} {self.seconds:4.1f} s, {self.distance:.2f} m to go '
                f'(seed {self.seed} {self.scenario})')


@dataclass
class Record:
    """All data of a demo, filled while it runs."""

    wanted: int  # episodes
    episodes: List[Episode] = field(default_factory=list)
    times: List[float] = field(default_factory=list)  # s since the first cycle, one per cycle
    cycles: List[Tuple[float, ...]] = field(default_factory=list)  # in the order of FIELDS
    arrivals: Deque[float] = field(default_factory=lambda: deque(maxlen=60))  # s, of the newest
    command: Tuple[float, float] = (0.0, 0.0)  # m/s, the newest
    health: Dict[str, str] = field(default_factory=dict)  # newest diagnostics: name -> message
    counts: Dict[str, str] = field(default_factory=dict)  # newest values of all diagnostics

    def stages(self) -> Dict[str, Percentiles]:
        """Return the percentiles of each stage over all cycles, ms; {} before the first."""
        if not self.cycles:
            return {}
        return {name: Percentiles.from_values(values)
                for name, values in zip(FIELDS, zip(*self.cycles)) if name != 'used'}

    def over(self, budget_ms: float) -> int:
        """Count the cycles that took longer than a budget."""
        return sum(row[0] > budget_ms for row in self.cycles)

    def rate(self) -> float:
        """Return the newest cycles per second."""
        span = self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0.0
        return (len(self.arrivals) - 1) / span if span > 0.0 else 0.0

    @property
    def reached(self) -> int:
        """Count the episodes that ended at the cup."""
        return sum(episode.outcome == REACHED for episode in self.episodes)

    def summary(self) -> Dict[str, Any]:
        """Return everything but single cycles and paths, for --json."""
        episodes = [{key: value for key, value in asdict(episode).items() if key != 'path'}
                    for episode in self.episodes]
        return {
            'episodes': episodes, 'reached': self.reached, 'wanted': self.wanted,
            'cycles': len(self.cycles),
            'latency_ms': {name: p._asdict() for name, p in self.stages().items()},
            'cycles_over_ms': {f'{budget:g}': self.over(budget) for budget in BUDGETS_MS},
            'diagnostics': dict(self.counts)}
