"""One tuning from a model to its report: what is tried, in which order, and what comes out."""

from contextlib import suppress
from typing import Any, Dict, List, NamedTuple, Optional

from .arena import Arena, Pace
from .given.ros_config import RosConfig
from .given.subjects import Model
from .report.live_table import live_table
from .report.session_text import session_text
from .report.tune_rows import answer, rows_of, settings_for_config, thrift
from .search import DUEL_PAIRS, Entry, QUICK_DUEL_PAIRS, Search
from .space import left_out, Place, singles
from .starting_points import starts_for, this_machine
from .trial import Trial
from .tune_journal import Journal
from ..models.runners.row_process import Budget
from ...backends.onnx.onnx_session import threads_for
from ...system.machine import cores, cpu_model, package_version


REPORT_S = 4.0  # of the time, for what is not measuring


class Settings(NamedTuple):
    """How a tuning is done."""

    pace: Pace
    minutes: float
    quick: bool = False


class Tuning:
    """A model, the trials that can be faster, and what was found."""

    def __init__(self, model: Model, settings: Settings) -> None:
        """Measure nothing yet."""
        self.model, self.settings = model, settings
        self._budget = Budget(settings.minutes * 60.0 - REPORT_S)
        self._machine = this_machine()
        self._places: List[Place] = []
        self._search: Optional[Search] = None
        self._winner: Optional[Entry] = None
        self.interrupted = False

    def plan(self) -> List[str]:
        """Return in words what would be tried for the runtime of the baseline."""
        trial = self._origin(self.model.baseline)
        place = self._place(trial, {})
        entries = self._candidates(trial, place)
        return [f'baseline: {self.model.baseline.name}',
                *(f'runtime: {other.name}' for other in self.model.runtimes),
                *(f'try: {entry.trial.name} ({entry.seen})' for entry in entries),
                *(f'not: {name}: {reason}' for name, reason in
                  {**self.model.refused, **left_out([place])}.items()),
                f'time: {self.settings.minutes:g} minutes at most']

    def run(self, journal: Any, resume: bool) -> None:
        """Search; after Ctrl-C, keep what was measured and set `interrupted`."""
        book = Journal(journal, self._key(), resume)
        self._budget = Budget(max(self._budget.left_s - book.spent_s, 0.0))
        arena = Arena(self.model.baseline, self.settings.pace, self._budget, book)
        try:
            with live_table(self._budget) as show:
                pairs = QUICK_DUEL_PAIRS if self.settings.quick else DUEL_PAIRS
                self._search = Search(arena, pairs, show)
                self._winner = self._search.run(self._trials(arena, self._search))
        except KeyboardInterrupt:
            self.interrupted = True

    def report(self, config: Optional[RosConfig]) -> Dict[str, Any]:
        """Return everything for the report; put a winner into `config`, which is not written."""
        winner, pace, bundle = self._winner, self.settings.pace, self.model.bundle
        entries = self._search.entries if self._search else []
        said = 'Interrupted: --resume goes on from here.' if self.interrupted else answer(
            winner, entries, pace)
        if config and winner and bundle:
            config.set(settings_for_config(winner, bundle, pace, config.values))
        return {
            'model': self.model.baseline.subject.name, 'answer': said,
            'winner': winner.trial.name if winner else None, 'pace': pace._asdict(),
            'quick': self.settings.quick, 'minutes': self.settings.minutes,
            'notes': [*filter(None, (thrift(winner, entries), self.model.note))],
            'rows': rows_of(self.model.baseline, entries, pace), 'refused': self.model.refused,
            'left_out': left_out(self._places) if self._places else {},
            'diff': config.diff() if config and winner else '',
            'python': session_text(winner.trial) if winner and not bundle else ''}

    def _trials(self, arena: Arena, search: Search) -> List[Entry]:
        """Measure the runtimes; return what to try on the best."""
        info = arena.baseline_info()
        best = search.best_runtime(self.model.runtimes)
        entry = next((entry for entry in search.entries if entry.trial == best), None)
        place = self._place(self._origin(best), entry.info if entry and entry.info else info)
        self._places = [place]
        return self._candidates(self._origin(best), place)

    def _origin(self, best: Trial) -> Trial:
        """Return the trial whose options are changed: of a file, the one with ours."""
        return self.model.runtimes[0] if best.own_defaults else best

    def _candidates(self, origin: Trial, place: Place) -> List[Entry]:
        """Return the starting points, then every change of one option; each once."""
        found = [(settings, f'{start.kind}: {start.seen}')
                 for start, settings in starts_for(self._machine, place)]
        found += [(change, 'one option') for change in singles(place, self.settings.quick)]
        known = {origin.name, self.model.baseline.name}
        entries = []
        for changes, seen in found:
            trial = origin.with_changes(changes)
            if trial.name not in known:
                known.add(trial.name)
                entries.append(Entry(trial, seen))
        return entries

    def _place(self, trial: Trial, info: Dict[str, str]) -> Place:
        device = info.get('device', trial.device).split()[0]
        device = 'cuda' if 'cuda' in (device, trial.device) else 'cpu'
        return Place(trial.backend, trial.precision, device, cores(), info.get('version', '99'),
                     _threads(trial), bool(trial.default_rehearsal_ms),
                     self._machine.capability)

    def _key(self) -> Dict[str, str]:
        """Return what a journal belongs to."""
        return {'model': self.model.sha256, 'processor': f'{cpu_model()}, {cores()} cores',
                'gpu': f'{self._machine.gpu} {self._machine.driver}'.strip(),
                'baseline': self.model.baseline.name, 'runtimes': ', '.join(
                    trial.name for trial in self.model.runtimes),
                'pace': str(self.settings.pace[:3]), 'quick': str(self.settings.quick),
                'versions': _versions(), 'package': package_version()}


def _threads(trial: Trial) -> int:
    """Return how many threads a runtime takes by default."""
    if trial.backend != 'onnx':
        return 1
    path = trial.subject.path
    if trial.subject.kind == 'bundle':
        path = path / f'policy.{trial.precision}.onnx'
    return threads_for(path)


def _versions() -> str:
    from importlib import metadata
    found = []
    for name in ('onnxruntime', 'onnxruntime-gpu', 'torch', 'tensorrt', 'numpy'):
        with suppress(metadata.PackageNotFoundError):
            found.append(f'{name} {metadata.version(name)}')
    return ', '.join(found)
