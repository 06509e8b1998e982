"""Layer by layer: int8 where it is quicker and does not hurt, float where not, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import numpy as np

from .layers import CONVOLUTION, Layer
from .mixture import Choice, Mixtures
from .trial import race, Reference, StepFile

BUDGET = 0.005  # m/s, mean over a rollout: half of what verify lets int8 be off
FEWEST = 4096  # weights; a smaller product is done before int8 could save anything
LARGE = 1 << 20  # weights of a recurrent matrix that waits for memory: tried in 4 bits
SLOWER = 0.01  # share of a step by which one graph must be quicker to count as quicker
LEAST_US = 1.0  # of saved time, that a harm is divided by
FLOAT, INT8, INT4 = 'float', 'int8', 'int4'


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

    def run(self, try_4_bits: bool = False) -> Choice:
        """Find the choice; `rows` then tells it layer by layer."""
        choice = self._without_slow_ones(self._worthy())
        choice = self._within_budget(choice)
        return self._with_4_bits(choice) if try_4_bits else choice

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
        """While the drift is too much, give up what causes most of it for the time it saves."""
        drift = self._drift(choice)
        alone: Dict[str, float] = {}
        while choice.int8 and not drift <= BUDGET:
            alone = alone or {name: self._drift(Choice(frozenset({name})))
                              for name in sorted(choice.int8)}
            worst = max(sorted(choice.int8),
                        key=lambda name: alone[name] / max(self._saves[name], LEAST_US))
            self._why[worst] = (f'alone it is {alone[worst]:.4f} m/s off, all together '
                                f'{drift:.4f}: over {BUDGET}')
            choice = choice.without(worst)
            drift = self._drift(choice)
        return choice

    def _with_4_bits(self, choice: Choice) -> Choice:
        """Try the large recurrent matrices in 4 bits, all at once, and keep what is no loss."""
        large = frozenset(layer.name for layer in self._mixtures.layers
                          if layer.recurrent and layer.weights >= LARGE)
        if not large:
            self.notes.append(f'4 bits: no recurrent matrix has {LARGE} weights, none was tried')
            return choice
        tried = Choice(choice.int8 - large, large)
        drift = self._drift(tried)
        found = race(self._open(tried), self._open(choice), self._frame)
        told = f'4 bits: {found.one:.2f} ms a step instead of {found.other:.2f}, ' \
               f'drift {drift:.5f} m/s'
        if not drift <= BUDGET or found.is_lost(SLOWER):
            self.notes.append(f'{told}: not kept')
            return choice
        self.notes.append(f'{told}: kept')
        self._why.update(dict.fromkeys(large, 'no slower than int8, and half of its size'))
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
    return INT4 if name in choice.int4 else INT8 if name in choice.int8 else FLOAT


def _gain(saved_us: float) -> str:
    return f'saves {saved_us:.0f} us' if saved_us >= LEAST_US else 'no slower, and smaller'
