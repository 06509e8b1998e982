"""Layer by layer: int8 where it is quicker and does not hurt, float where not, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from .layers import CONVOLUTION, Layer
from .mixture import Choice, Mixtures
from .trial import Drift, race, Reference, StepFile

BUDGET = 0.005  # m/s, mean over a rollout: half of what verify lets int8 be off
FEWEST = 4096  # weights; a smaller product is done before int8 could save anything
LARGE = 1 << 20  # weights; recurrent matrices from here on wait for memory, and are tried in 4 bits
SLOWER = 0.01  # share of a step by which float must be quicker to count as quicker
FLOAT, INT8, INT4 = 'float', 'int8', 'int4'


@dataclass(frozen=True)
class Row:
    """What becomes of a layer."""

    layer: Layer
    form: str
    why: str


@dataclass(frozen=True)
class Contribution:
    """What one layer's int8 does to the step: the graph with it against the one without it."""

    saves_us: float
    slower: bool
    harm: float  # m/s, of the rollout's mean drift


class Search:
    """Tries the layers of a policy one after the other."""

    def __init__(self, mixtures: Mixtures, reference: Reference, frame: np.ndarray,
                 folder: Path, by_time: bool = True) -> None:
        """Judge by `reference`'s frames; time on `frame`, unless `by_time` is false."""
        self._mixtures, self._reference, self._frame = mixtures, reference, frame
        self._folder, self._by_time = folder, by_time
        self._why: Dict[str, str] = {}
        self.notes: List[str] = []

    def run(self, try_4_bits: bool = False) -> Choice:
        """Find the choice; `rows` then tells it layer by layer."""
        worth = [layer for layer in self._mixtures.layers if self._is_worth_it(layer)]
        full = Choice(frozenset(layer.name for layer in worth))
        contributions = self._contributions(full, worth)
        choice = self._leave_slow_ones(full, contributions)
        choice = self._leave_harmful_ones(choice, contributions)
        return self._with_4_bits(choice) if try_4_bits else choice

    def rows(self, choice: Choice) -> List[Row]:
        """Give every layer's form and why, in the graph's order."""
        return [Row(layer, form_of(layer.name, choice), self._why[layer.name])
                for layer in self._mixtures.layers]

    def open(self, choice: Choice) -> StepFile:  # noqa: A003, RUF100
        """Make and open the graph of a choice."""
        path = self._folder / 'tried.onnx'
        self._mixtures.write(choice, path)
        try:
            return StepFile(path)
        finally:
            path.unlink()

    def _is_worth_it(self, layer: Layer) -> bool:
        if layer.kind == CONVOLUTION or layer.weights >= FEWEST:
            return True
        self._why[layer.name] = f'only {layer.weights} weights, nothing to gain'
        return False

    def _contributions(self, full: Choice, worth: Sequence[Layer]) -> Dict[str, Contribution]:
        """Leave each layer out in turn."""
        from rich.progress import track
        step = self.open(full)
        drift = self._reference.drift(step)
        return {layer.name: self._contribution(step, drift, full.without(layer.name))
                for layer in track(worth, 'layers', transient=True)}

    def _contribution(self, step: StepFile, drift: Drift, without: Choice) -> Contribution:
        other = self.open(without)
        harm = drift.rollout_mean - self._reference.drift(other).rollout_mean
        with_it, without_it, sure = race(step, other, self._frame)
        slower = without_it < (1 - SLOWER) * with_it and sure < 0.5
        return Contribution(1000 * (without_it - with_it), slower and self._by_time, harm)

    def _leave_slow_ones(self, full: Choice, found: Dict[str, Contribution]) -> Choice:
        choice = full
        for name, layer in found.items():
            if layer.slower:
                self._why[name] = f'float is {-layer.saves_us:.0f} us quicker here'
                choice = choice.without(name)
            else:
                self._why[name] = _gain(layer)
        return choice

    def _leave_harmful_ones(self, choice: Choice, found: Dict[str, Contribution]) -> Choice:
        """While the drift is over the budget, give up what causes most of it."""
        drift = self._drift(choice)
        while choice.int8 and not drift <= BUDGET:
            worst = max(choice.int8, key=lambda name: found[name].harm)
            self._why[worst] = (f'int8 adds {found[worst].harm:.4f} m/s to a drift of '
                                f'{drift:.4f}, over {BUDGET}')
            choice = choice.without(worst)
            drift = self._drift(choice)
        return choice

    def _drift(self, choice: Choice) -> float:
        return self._reference.drift(self.open(choice)).rollout_mean

    def _with_4_bits(self, choice: Choice) -> Choice:
        """Try the large recurrent matrices in 4 bits, all at once, and keep what is no loss."""
        large = frozenset(layer.name for layer in self._mixtures.layers
                          if layer.recurrent and layer.weights >= LARGE)
        if not large:
            self.notes.append(f'4 bits: no recurrent matrix has {LARGE} weights, none was tried')
            return choice
        tried = Choice(choice.int8 - large, large)
        step, other = self.open(choice), self.open(tried)
        drift = self._reference.drift(other).rollout_mean
        with_8, with_4, sure = race(step, other, self._frame)
        told = f'4 bits: {with_4:.2f} ms a step instead of {with_8:.2f}, drift {drift:.5f} m/s'
        if not drift <= BUDGET or (with_4 > (1 + SLOWER) * with_8 and sure > 0.5):
            self.notes.append(f'{told}: not kept')
            return choice
        self.notes.append(f'{told}: kept')
        self._why.update(dict.fromkeys(large, 'no slower than int8, and half of its size'))
        return tried


def form_of(name: str, choice: Choice) -> str:
    """Tell what a layer is in a choice."""
    return INT4 if name in choice.int4 else INT8 if name in choice.int8 else FLOAT


def _gain(layer: Contribution) -> str:
    return f'saves {layer.saves_us:.0f} us, drift {layer.harm:+.5f} m/s'
