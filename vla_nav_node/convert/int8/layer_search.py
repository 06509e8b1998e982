"""Layer by layer: int8 where it is quicker and does not hurt, float where not, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, List

import numpy as np

from .mixed_precision_graph import Choice, MixedPrecisionGraph
from .trial import Drift, race, Reference, StepFile
from ..export.graph_nodes import CONVOLUTION, Layer
from ...errors import BackendError
from ...system.progress import track

# What int8 may be off fp32: half of what verify allows of the speed, four fifths of the state,
# which differs less from one set of frames to another.
BUDGET = 0.005  # m/s, mean over a rollout
STATE_BUDGET = 0.02  # of the new state's size, mean of single steps
FEWEST = 4096  # weights; a smaller product is done before int8 could save anything
LARGE = 1 << 20  # weights of a recurrent matrix that waits for memory: tried in blocks
INPUTS = 512  # steps whose inputs 4 bits are chosen for, at most
SLOWER = 0.01  # share of a step by which one graph must be quicker to count as quicker
LEAST_US = 1.0  # of saved time, that a harm is divided by
FLOAT, INT8 = 'float', 'int8'
BLOCKS = {8: 'int8 in blocks', 4: 'int4 in blocks'}
BITS = (4, 8)  # that may be tried for the large matrices


@dataclass(frozen=True)
class Row:
    """What becomes of a layer."""

    layer: Layer
    form: str
    why: str


class Search:
    """Tries the layers of a policy one after the other."""

    def __init__(self, mixtures: MixedPrecisionGraph, reference: Reference, frame: np.ndarray,
                 folder: Path, by_time: bool = True) -> None:
        """Judge by `reference`'s frames; time on `frame`, and mind that unless not `by_time`."""
        self._mixtures, self._reference, self._frame = mixtures, reference, frame
        self._folder, self._by_time = folder, by_time
        self._why: Dict[str, str] = {}
        self._saves: Dict[str, float] = {}  # us of a step
        self.notes: List[str] = []

    def run(self, least_bits: int = min(BITS)) -> Choice:
        """Find the choice; `rows` then tells it layer by layer."""
        choice = self._without_slow_ones(self._worthy())
        choice = self._within_budget(choice)
        large = frozenset(layer.name for layer in self._mixtures.layers
                          if layer.recurrent and layer.weights >= LARGE)
        for bits in sorted(BITS, reverse=True):
            if large and bits >= least_bits:
                choice = self._in_blocks(choice, large, bits)
        return choice

    def rows(self, choice: Choice) -> List[Row]:
        """Return every layer's form and why, in the graph's order."""
        return [Row(layer, form_of(layer.name, choice), self._why[layer.name])
                for layer in self._mixtures.layers]

    def _worthy(self) -> Choice:
        """Choose all but the products that are too small."""
        worthy = set()
        for layer in self._mixtures.layers:
            if layer.kind == CONVOLUTION or layer.weights >= FEWEST:
                worthy.add(layer.name)
            else:
                self._why[layer.name] = f'only {layer.weights} weights, nothing to gain'
        return Choice(frozenset(worthy))

    def _without_slow_ones(self, full: Choice) -> Choice:
        """Leave each layer out in turn; those without which the step is quicker stay out."""
        step, choice = self._open(full), full
        for name in track(sorted(full.int8), 'layers'):
            found = race(step, self._open(full.without(name)), self._frame)
            self._saves[name] = 1000 * found.lead
            if self._by_time and found.is_lost(SLOWER):
                self._why[name] = f'float is {-self._saves[name]:.0f} us quicker here'
                choice = choice.without(name)
            else:
                self._why[name] = _gain(self._saves[name])
        return choice

    def _within_budget(self, choice: Choice) -> Choice:
        """Return up what causes most of the drift for the time it saves, until there is little."""
        together = used = self._used(choice)
        left: Dict[str, float] = {}
        if not used <= 1:
            left = {name: self._used(Choice(frozenset({name}))) for name in sorted(choice.int8)}
        alone = dict(left)
        while choice.int8 and not used <= 1:
            worst = max(left, key=lambda name: self._price(name, left[name]))
            self._why[worst] = (f'alone it is off by {left.pop(worst):.0%} of the budget, all '
                                f'together by {together:.0%}')
            choice = choice.without(worst)
            used = self._used(choice)
        return self._put_back(choice, [name for name in alone if name not in left])

    def _price(self, name: str, alone: float) -> float:
        """Return how much of the budget, for each us that it saves: errors add up in squares."""
        return alone ** 2 / max(self._saves[name], LEAST_US)

    def _put_back(self, choice: Choice, given_up: List[str]) -> Choice:
        """Take layers back that need not have gone, the most useful ones first."""
        for name in sorted(given_up, key=lambda name: -self._saves[name]):
            more = Choice(choice.int8 | {name})
            if self._used(more) <= 1:
                self._why[name] = _gain(self._saves[name])
                choice = more
        return choice

    def _in_blocks(self, choice: Choice, large: FrozenSet[str], bits: int) -> Choice:
        """Try the large recurrent matrices in blocks, all at once, and keep what is no loss."""
        tried, told = choice.in_blocks(large, bits), f'large matrices as {BLOCKS[bits]}'
        if bits < 8:
            self._learn_inputs(large)
        try:
            step = self._open(tried)
        except BackendError as error:  # an older runtime, which the robot might have too
            self.notes.append(f'{told}: not kept, {error}')
            return choice
        drift = self._reference.drift(step)
        found = race(step, self._open(choice), self._frame)
        told += (f': {found.one:.2f} ms a step instead of {found.other:.2f}, drift '
                 f'{drift.rollout_mean:.5f} m/s, state {drift.state:.2%}')
        if not _share(drift) <= 1 or found.is_lost(SLOWER):
            self.notes.append(f'{told}: not kept')
            return choice
        self.notes.append(f'{told}: kept')
        self._why.update(dict.fromkeys(large, 'all large ones together: '
                                       + _gain(1000 * found.lead)))
        return tried

    def _learn_inputs(self, names: FrozenSet[str]) -> None:
        path = self._folder / 'telling.onnx'
        self._mixtures.write_telling(names, path)
        try:
            self._mixtures.learn(self._reference.tell(StepFile(path), INPUTS))
        finally:
            path.unlink()

    def _used(self, choice: Choice) -> float:
        return _share(self._reference.drift(self._open(choice)))

    def _open(self, choice: Choice) -> StepFile:
        path = self._folder / 'tried.onnx'
        self._mixtures.write(choice, path)
        try:
            return StepFile(path)
        finally:
            path.unlink()


def _share(drift: Drift) -> float:
    """Return how much of the budget is used up; more than 1 is too much, and so is nan."""
    return float(np.max([drift.rollout_mean / BUDGET, drift.state / STATE_BUDGET]))


def form_of(name: str, choice: Choice) -> str:
    """Tell what a layer is in a choice."""
    if name in choice.blocks:
        return BLOCKS[choice.bits]
    return INT8 if name in choice.int8 else FLOAT


def _gain(saved_us: float) -> str:
    return f'saves {saved_us:.0f} us' if saved_us >= LEAST_US else 'no slower, and smaller'
