"""The table of what can make the node slow, and the samples that tell whether it does."""

from contextlib import suppress
from math import inf
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from . import duty
from ...backends.cuda.cuda_driver import CudaDriver
from ...errors import VlaNavError
from ...system.load import (
    busy_processes, clocks, core_masks, cpu_quota, cpu_use, memory_waits, nvml, throttling)
from ...system.load.kernel_files import LINUX, Roots
from ...system.load.virtual_machine import is_virtual

NEWEST = 2  # samples that count as now
WELL = 60  # samples that are kept of the time when all was well
# After so many samples in a row of times that were as expected, the oldest of them counts as
# well: what changed without making the node slower explains nothing later.
CALM = 10
CPU, DUTY, BUSY, GPU = 'cpu', 'duty', 'busy', 'gpu'

Samples = Dict[str, List[Any]]
Explain = Callable[[Sequence[Any], Sequence[Any]], str]


class Cause(NamedTuple):
    """A row of the table: the samples that it compares, and how."""

    samples: str
    explain: Explain  # samples before and now -> a sentence, '' if there is no difference
    harmless: bool = False  # the machine has less to do, not more


# The most specific first. Several may be found.
CAUSES = (
    Cause(DUTY, duty.explain_backend),
    Cause(DUTY, duty.explain_picture),
    Cause('masks', core_masks.explain),
    Cause('quota', cpu_quota.explain),
    Cause('throttling', throttling.explain),
    Cause('clocks', clocks.explain),
    Cause(GPU, nvml.explain),
    Cause('memory', memory_waits.explain),
    Cause(CPU, cpu_use.explain_stolen),
    Cause(CPU, cpu_use.explain_others),
    Cause(CPU, cpu_use.explain_own),
    Cause(DUTY, duty.explain_pace, harmless=True),
    Cause(CPU, cpu_use.explain_idler, harmless=True))
# How to read each kind of samples.
READERS: Dict[str, Callable[[Roots], Any]] = {
    CPU: cpu_use.CpuReader, 'memory': memory_waits.MemoryReader,
    'quota': cpu_quota.QuotaReader, 'masks': core_masks.MaskReader,
    'throttling': throttling.ThrottlingReader, 'clocks': clocks.ClockReader,
    BUSY: busy_processes.BusyReader}
# Between two samples while nothing is suspicious; the others are read at each report.
EVERY_S = {'masks': 10.0, 'throttling': 10.0, 'clocks': 10.0, GPU: 10.0, BUSY: inf}


class Found(NamedTuple):
    """The causes that show now."""

    texts: List[str]
    harmless: bool  # each of them
    virtual: bool = False  # the machine: its host may be the cause, and cannot be seen

    @property
    def fault(self) -> bool:
        """Return whether at least one shows that is not harmless."""
        return bool(self.texts) and not self.harmless

    @property
    def warns(self) -> bool:
        """Return whether a slow-down because of it is worth a warning."""
        return self.fault or not (self.texts or self.virtual)

    def __str__(self) -> str:
        """Return them as one line."""
        return '; '.join(self.texts) or (
            'unknown: nothing that this node can read has changed' + (
                ', but it cannot read what the host of this virtual machine does'
                if self.virtual else ''))


class Evidence:
    """The samples of the time when all was well, and the newest ones."""

    def __init__(self, roots: Roots = LINUX, causes: Sequence[Cause] = CAUSES) -> None:
        """Open the readers of the files below `roots`."""
        self._causes = causes
        self._virtual = is_virtual(roots)
        self._readers = {name: make(roots) for name, make in READERS.items()}
        self._read_s: Dict[str, float] = {}
        self._now: Samples = {}
        self._before: Samples = {}
        self._calm: List[Dict[str, Any]] = []
        self._learned: Dict[bool, Samples] = {True: {}, False: {}}  # on a quiet machine or not

    def watch_gpu(self, on: bool) -> None:
        """Read the state of the GPU too, or no longer; nothing happens without one."""
        self._readers.pop(GPU, None)
        if on:
            with suppress(VlaNavError):
                self._readers[GPU] = nvml.GpuReader(CudaDriver().gpu().uuid)

    def sample(self, now: duty.Duty, urgent: bool) -> None:
        """Read what is due; `urgent`: all of it."""
        _keep(self._now, DUTY, now, NEWEST)
        for name, reader in self._readers.items():
            since_s = now.at_s - self._read_s.get(name, 0.0)
            if since_s >= EVERY_S.get(name, 0.0) or urgent and self._is_worth(name):
                self._read_s[name] = now.at_s
                self._note(name, reader.read())

    def _note(self, name: str, sample: Any) -> None:
        if sample is None:  # it cannot be read, or there is nothing to compare with yet
            self._now.pop(name, None)
        else:
            _keep(self._now, name, sample, NEWEST)

    def _is_worth(self, name: str) -> bool:
        """Return whether a reader can tell something: all processes only where others run."""
        before, now = self._samples(CPU)
        return name != BUSY or bool(cpu_use.explain_others(before, now[-1:]))

    def learn(self, is_quiet: bool) -> None:
        """Keep the newest samples, of a time that is learned from."""
        for quiet in {False, is_quiet}:
            _keep_newest(self._learned[quiet], self._newest())

    def settle(self, is_quiet: bool) -> None:
        """Compare with what was learned from now on: on a quiet machine only, or on any."""
        self._before = {name: list(kept) for name, kept in self._learned[is_quiet].items()}

    def stay_calm(self) -> None:
        """Note that the times are as expected."""
        self._calm.append(self._newest())
        if len(self._calm) > CALM:
            _keep_newest(self._before, self._calm.pop(0))

    def be_alarmed(self) -> None:
        """Note that they may not be, so that the newest samples may be why."""
        self._calm.clear()

    def forget(self) -> None:
        """Forget what was learned."""
        self._before, self._learned, self._calm = {}, {True: {}, False: {}}, []

    def pictures_per_s(self) -> float:
        """Return how often pictures come now; 0 if unknown."""
        return duty.rate(self._now.get(DUTY, ()))

    def load(self) -> str:
        """Return what else loads the machine now; '' if nothing."""
        return cpu_use.explain_load(self._now.get(CPU, ())[-1:])

    def learned_load(self) -> str:
        """Return what else loaded the machine while it learned; '' if nothing."""
        return cpu_use.explain_load(self._before.get(CPU, ()))

    def causes(self) -> Found:
        """Return what is different from before."""
        found = [(self._explain(cause), cause) for cause in self._causes]
        texts = [text for text, _ in found if text]
        return Found(texts, all(cause.harmless for text, cause in found if text), self._virtual)

    def _explain(self, cause: Cause) -> str:
        text = cause.explain(*self._samples(cause.samples))
        if text and cause.explain is cpu_use.explain_others:
            text = ', '.join(filter(None, (
                text, busy_processes.explain(*self._samples(BUSY)))))
        return text

    def _samples(self, name: str) -> Tuple[Sequence[Any], Sequence[Any]]:
        return self._before.get(name, ()), self._now.get(name, ())

    def _newest(self) -> Dict[str, Any]:
        return {name: samples[-1] for name, samples in self._now.items()}


def _keep(place: Samples, name: str, sample: Any, most: int) -> None:
    place[name] = [*place.get(name, ()), sample][-most:]


def _keep_newest(place: Samples, newest: Mapping[str, Any]) -> None:
    """Keep those samples that are not kept already: some are not taken at each report."""
    for name, sample in newest.items():
        if not place.get(name) or place[name][-1] is not sample:
            _keep(place, name, sample, WELL)
