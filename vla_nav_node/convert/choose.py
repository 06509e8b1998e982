"""Layer by layer: int8 where it is quicker and does not hurt, float where not, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, List

import numpy as np

from .layers import CONVOLUTION, Layer
from .mixture import Choice, Mixtures
from .trial import race, Reference, StepFile
from ..errors import BackendError

BUDGET = 0.005  # m/s, mean over a rollout: half of what verify lets int8 be off
FEWEST = 4096  # weights; a smaller product is done before int8 could save anything
LARGE = 1 << 20  # weights of a recurrent matrix that waits for memory: tried in blocks
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

    def __init__(self, mixtures: Mixtures, reference: Reference, frame: np.ndarray,
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
        """Give every layer's form and why, in the graph's order."""
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
        from rich.progress import track
        step, choice = self._open(full), full
        for name in track(sorted(full.int8), 'layers', transient=True):
            found = race(step, self._open(full.without(name)), self._frame)
            self._saves[name] = 1000 * found.lead
            if self._by_time and found.is_lost(SLOWER):
                self._why[name] = f'float is {-self._saves[name]:.0f} us quicker here'
                choice = choice.without(name)
            else:
                self._why[name] = _gain(self._saves[name])
        return choice

    def _within_budget(self, choice: Choice) -> Choice:
        """Give up what causes most of the drift for the time it saves, until there is little."""
        together = drift = self._drift(choice)
        left: Dict[str, float] = {}
        if not drift <= BUDGET:
            left = {name: self._drift(Choice(frozenset({name}))) for name in sorted(choice.int8)}
        alone = dict(left)
        while choice.int8 and not drift <= BUDGET:
            worst = max(left, key=lambda name: self._price(name, left[name]))
            self._why[worst] = (f'alone it is {left.pop(worst):.4f} m/s off, all together '
                                f'{together:.4f}: over {BUDGET}')
            choice = choice.without(worst)
            drift = self._drift(choice)
        return self._put_back(choice, [name for name in alone if name not in left])

    def _price(self, name: str, alone: float) -> float:
        """Give how much of the drift, for each us that it saves: errors add up in squares."""
        return alone ** 2 / max(self._saves[name], LEAST_US)

    def _put_back(self, choice: Choice, given_up: List[str]) -> Choice:
        """Take layers back that need not have gone, the most useful ones first."""
        for name in sorted(given_up, key=lambda name: -self._saves[name]):
            more = Choice(choice.int8 | {name})
            if self._drift(more) <= BUDGET:
                self._why[name] = _gain(self._saves[name])
                choice = more
        return choice

    def _in_blocks(self, choice: Choice, large: FrozenSet[str], bits: int) -> Choice:
        """Try the large recurrent matrices in blocks, all at once, and keep what is no loss."""
        tried, told = choice.in_blocks(large, bits), f'large matrices as {BLOCKS[bits]}'
        try:
            step = self._open(tried)
        except BackendError as error:  # an older runtime, which the robot might have too
            self.notes.append(f'{told}: not kept, {error}')
            return choice
        drift = self._reference.drift(step).rollout_mean
        found = race(step, self._open(choice), self._frame)
        told += (f': {found.one:.2f} ms a step instead of {found.other:.2f}, '
                 f'drift {drift:.5f} m/s')
        if not drift <= BUDGET or found.is_lost(SLOWER):
            self.notes.append(f'{told}: not kept')
            return choice
        self.notes.append(f'{told}: kept')
        self._why.update(dict.fromkeys(large, 'all large ones together: '
                                       + _gain(1000 * found.lead)))
        return tried

    def _drift(self, choice: Choice) -> float:
        return self._reference.drift(self._open(choice)).rollout_mean

    def _open(self, choice: Choice) -> StepFile:
        path = self._folder / 'tried.onnx'
        self._mixtures.write(choice, path)
        try:
            return StepFile(path)
        finally:
            path.unlink()


def form_of(name: str, choice: Choice) -> str:
    """Tell what a layer is in a choice."""
    if name in choice.blocks:
        return BLOCKS[choice.bits]
    return INT8 if name in choice.int8 else FLOAT


def _gain(saved_us: float) -> str:
    return f'saves {saved_us:.0f} us' if saved_us >= LEAST_US else 'no slower, and smaller'
