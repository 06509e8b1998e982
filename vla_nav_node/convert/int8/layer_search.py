"""Choose layer by layer: int8 where it is faster and accurate enough, float elsewhere, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, List

import numpy as np

from .graph_nodes import CONVOLUTION, Layer
from .mixed_precision_graph import Choice, MixedPrecisionGraph
from ..verify.drift import Drift, race, Reference, StepFile
from ...errors import BackendError
from ...system.progress import track

# How far int8 may be off fp32: half of what verify allows of the speed, four fifths of the state,
# which differs less from one set of frames to another.
BUDGET = 0.005  # m/s, mean over a rollout
STATE_BUDGET = 0.02  # of the new state's size, mean of single steps
FEWEST = 4096  # weights; a smaller product is done before int8 could save anything
LARGE = 1 << 20  # weights; a recurrent matrix of this size waits for memory: tried in blocks
INPUTS = 512  # steps at most whose inputs 4-bit weights are chosen for
SLOWER = 0.01  # share of a step; smaller differences in time do not count
LEAST_US = 1.0  # saved time that errors are weighed against, at least
FLOAT, INT8 = 'float', 'int8'
BLOCKS = {8: 'int8 in blocks', 4: 'int4 in blocks'}
BITS = (4, 8)  # that may be tried for the large matrices


@dataclass(frozen=True)
class Row:
    """The outcome for one layer."""

    layer: Layer
    form: str
    why: str


class Search:
    """Tries the layers of a policy one after the other."""

    def __init__(self, graphs: MixedPrecisionGraph, reference: Reference, frame: np.ndarray,
                 folder: Path, by_time: bool = True) -> None:
        """Judge by `reference`; time on `frame`, and keep slower int8 if not `by_time`."""
        self._graphs, self._reference, self._frame = graphs, reference, frame
        self._folder, self._by_time = folder, by_time
        self._why: Dict[str, str] = {}
        self._saved_us: Dict[str, float] = {}  # of a step, by layer
        self.notes: List[str] = []

    def run(self, least_bits: int = min(BITS)) -> Choice:
        """Return the choice; `rows` then explains it layer by layer."""
        choice = self._without_slow_layers(self._large_enough())
        choice = self._within_budget(choice)
        large = frozenset(layer.name for layer in self._graphs.layers
                          if layer.recurrent and layer.weights >= LARGE)
        for bits in sorted(BITS, reverse=True):
            if large and bits >= least_bits:
                choice = self._in_blocks(choice, large, bits)
        return choice

    def rows(self, choice: Choice) -> List[Row]:
        """Return every layer's form and the reason, in the graph's order."""
        forms = {**dict.fromkeys(choice.int8, INT8),
                 **dict.fromkeys(choice.blocks, BLOCKS[choice.bits])}
        return [Row(layer, forms.get(layer.name, FLOAT), self._why[layer.name])
                for layer in self._graphs.layers]

    def _large_enough(self) -> Choice:
        """Choose all layers but the products that are too small."""
        chosen = set()
        for layer in self._graphs.layers:
            if layer.kind == CONVOLUTION or layer.weights >= FEWEST:
                chosen.add(layer.name)
            else:
                self._why[layer.name] = f'only {layer.weights} weights, nothing to gain'
        return Choice(frozenset(chosen))

    def _without_slow_layers(self, full: Choice) -> Choice:
        """Leave out each layer in turn; it stays out if the step is faster without it."""
        step, choice = self._open(full), full
        for name in track(sorted(full.int8), 'layers'):
            timed = race(step, self._open(full.without(name)), self._frame)
            self._saved_us[name] = 1000 * timed.lead_ms
            if self._by_time and timed.is_lost(SLOWER):
                self._why[name] = f'float is {-self._saved_us[name]:.0f} us quicker here'
                choice = choice.without(name)
            else:
                self._why[name] = _gain(self._saved_us[name])
        return choice

    def _within_budget(self, choice: Choice) -> Choice:
        """Leave out what costs most drift for the time it saves, until the rest is in budget."""
        together = used = self._budget_used(choice)
        if used <= 1:
            return choice
        alone = {name: self._budget_used(Choice(frozenset({name})))
                 for name in sorted(choice.int8)}
        while choice.int8 and not used <= 1:
            worst = max(sorted(choice.int8), key=lambda name: self._price(name, alone[name]))
            self._why[worst] = (f'alone it is off by {alone[worst]:.0%} of the budget, all '
                                f'together by {together:.0%}')
            choice = choice.without(worst)
            used = self._budget_used(choice)
        return self._put_back(choice, [name for name in alone if name not in choice.int8])

    def _price(self, name: str, alone: float) -> float:
        """Return the share of the budget per microsecond saved: errors add up in squares."""
        return alone ** 2 / max(self._saved_us[name], LEAST_US)

    def _put_back(self, choice: Choice, left_out: List[str]) -> Choice:
        """Take back the layers that still fit into the budget, the most useful first."""
        for name in sorted(left_out, key=lambda name: -self._saved_us[name]):
            more = Choice(choice.int8 | {name})
            if self._budget_used(more) <= 1:
                self._why[name] = _gain(self._saved_us[name])
                choice = more
        return choice

    def _in_blocks(self, choice: Choice, large: FrozenSet[str], bits: int) -> Choice:
        """Try the large recurrent matrices in blocks, all at once; keep that if it is no loss."""
        tried, note = choice.in_blocks(large, bits), f'large matrices as {BLOCKS[bits]}'
        if bits < 8:
            self._record_inputs(large)
        try:
            step = self._open(tried)
        except BackendError as error:  # an older runtime, which the robot might have too
            self.notes.append(f'{note}: not kept, {error}')
            return choice
        drift = self._reference.drift(step)
        timed = race(step, self._open(choice), self._frame)
        kept = _share(drift) <= 1 and not timed.is_lost(SLOWER)
        self.notes.append(
            f'{note}: {timed.first_ms:.2f} ms a step instead of {timed.second_ms:.2f}, drift '
            f'{drift.rollout_mean:.5f} m/s, state {drift.state:.2%}: '
            + ('kept' if kept else 'not kept'))
        if not kept:
            return choice
        self._why.update(dict.fromkeys(
            large, f'all large ones together: {_gain(1000 * timed.lead_ms)}'))
        return tried

    def _record_inputs(self, names: FrozenSet[str]) -> None:
        path = self._folder / 'with_inputs.onnx'
        self._graphs.write_with_inputs(names, path)
        try:
            self._graphs.use_inputs(self._reference.record_outputs(StepFile(path), INPUTS))
        finally:
            path.unlink()

    def _budget_used(self, choice: Choice) -> float:
        return _share(self._reference.drift(self._open(choice)))

    def _open(self, choice: Choice) -> StepFile:
        path = self._folder / 'tried.onnx'
        self._graphs.write(choice, path)
        try:
            return StepFile(path)
        finally:
            path.unlink()


def _share(drift: Drift) -> float:
    """Return the share of the budget used; more than 1 is too much, and so is nan."""
    return float(np.max([drift.rollout_mean / BUDGET, drift.state / STATE_BUDGET]))


def _gain(saved_us: float) -> str:
    return f'saves {saved_us:.0f} us' if saved_us >= LEAST_US else 'no slower, and smaller'
