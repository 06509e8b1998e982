"""Compare the node's times with what is expected, and tell when they are slower, and why."""

import logging
from math import inf
from typing import Dict, List, Optional

from .blocks import Block, Blocks, INFER, WATCHED
from .causes import Evidence, Found
from .duty import Duty, OTHER_PACE
from .expected import Expected, LEARN_S, Learning, Normal
from .judgement import GAP_S, Judge
from ..diagnostics.stamps import span
from ..diagnostics.statuses import Slowdown
from ..latency_recorder import LatencyRecorder

LOG = logging.getLogger(__name__)
SAMPLE_S = 0.8  # least time between two samples; reports come once a second, or more often
SLOW_SAMPLE_S = 5.0  # between two samples of everything while it is slow


class SlowdownWatch:
    """Judges the new cycles at every report; for one thread, which is not the driving one."""

    def __init__(self, latency: LatencyRecorder, expected: Optional[Expected] = None,
                 evidence: Optional[Evidence] = None) -> None:
        """Watch what `latency` records; `expected` are the tuned times of infer, if known."""
        self._blocks = Blocks(latency)
        self._given = expected
        self._evidence = Evidence() if evidence is None else evidence
        self._judges = {name: Judge(name) for name in WATCHED}
        self._sampled_s = self._urgent_s = -inf
        self._duty: Optional[Duty] = None
        self._relearn()

    def update(self, duty: Duty) -> Slowdown:
        """Judge the cycles since the last call; `duty` is what the node does meanwhile."""
        if duty.at_s - self._sampled_s >= SAMPLE_S:
            self._sampled_s = duty.at_s
            if self._is_new(duty):
                self._begin(duty)
            self._take(duty)
        return self._result(duty.at_s)

    def _is_new(self, duty: Duty) -> bool:
        """Return whether other times are normal in this duty."""
        old = self._duty
        if old is None or duty.is_for_another(old):
            return True
        return not self._normal and duty.differs_from(old)  # it learned something else so far

    def _begin(self, duty: Duty) -> None:
        if self._duty is not None and duty.is_for_another(self._duty):
            self._given = None  # it is another runtime's
        self._duty = duty
        self._evidence.watch_gpu(duty.backend.device.startswith('cuda'))
        self._relearn()

    def _relearn(self) -> None:
        self._learning = Learning()
        self._normal: Dict[str, Normal] = {}
        self._load = ''  # under which it was learned
        self._found = Found([], True)
        self._told = False
        self._evidence.forget()
        for judge in self._judges.values():
            judge.forget()

    def _take(self, duty: Duty) -> None:
        block = self._blocks.take(duty.at_s)
        if block is None:
            self._evidence.sample(duty, urgent=False)
            self._end_after_a_gap(duty.at_s)
            return
        for judge in self._judges.values():
            judge.add(block)
        self._evidence.sample(duty, self._is_urgent(duty.at_s))
        self._judge()
        self._learn(block, duty)
        self._log(duty.at_s)

    def _is_urgent(self, now_s: float) -> bool:
        """Return whether every cause has to be looked at now."""
        if not self._suspicious() or self._slow() and now_s - self._urgent_s < SLOW_SAMPLE_S:
            return False
        self._urgent_s = now_s
        return True

    def _judge(self) -> None:
        if self._suspicious():
            self._evidence.be_alarmed()
            self._found = self._evidence.causes()
        elif self._normal and not self._slow():
            self._evidence.stay_calm()
        for name, normal in self._expected().items():
            self._judges[name].judge(normal, self._found.fault, unknown=not self._load)

    def _learn(self, block: Block, duty: Duty) -> None:
        if self._normal and (not self._load or self._evidence.causes().fault):
            return  # learned on a quiet machine, or it is not as it was
        is_quiet = not self._evidence.load()
        self._learning.add(block, is_quiet)
        self._evidence.learn(is_quiet)
        if self._learning.suffices(loaded_too=not self._normal):
            self._settle()

    def _settle(self) -> None:
        is_quiet = self._learning.is_quiet
        self._normal = self._learning.normal()
        self._evidence.settle(is_quiet)
        self._load = '' if is_quiet else self._evidence.learned_load() or 'an unsteady load'
        for judge in self._judges.values():
            judge.forget()

    def _expected(self) -> Dict[str, Normal]:
        """Return what is known: a tuning's time from the start, the others once learned."""
        tuned = self._tuned()
        if tuned is None:
            return self._normal
        learned = self._normal.get(INFER, Normal(tuned.p50))
        return {**self._normal, INFER: learned._replace(p50=tuned.p50)}

    def _tuned(self) -> Optional[Expected]:
        """Return the tuned times if pictures come as often as it was tuned for."""
        given, hz = self._given, self._evidence.pictures_per_s()
        if given is None or not hz:
            return None
        pace = 1e3 / hz / given.period_ms
        return given if 1.0 / OTHER_PACE < pace < OTHER_PACE else None

    def _suspicious(self) -> bool:
        return any(self._judges[name].is_suspicious(normal)
                   for name, normal in self._expected().items())

    def _slow(self) -> List[Judge]:
        return [judge for judge in self._judges.values() if judge.since_s is not None]

    def _end_after_a_gap(self, now_s: float) -> None:
        for judge in self._slow():
            if now_s - judge.newest_s > GAP_S:
                judge.forget()
        self._log(now_s)

    def _log(self, now_s: float) -> None:
        if bool(self._slow()) == self._told:
            return
        self._told = not self._told
        if self._told:
            LOG.log(logging.WARNING if self._found.warns else logging.INFO, self._message(now_s))
        else:
            LOG.info('the latency is as expected again')

    def _message(self, now_s: float) -> str:
        expected, slow = self._expected(), self._slow()
        if not slow:
            return ''
        parts = [judge.describe(expected[judge.name]) for judge in slow]
        since_s = now_s - min(judge.since_s or now_s for judge in slow)
        return f'{" and ".join(parts)}, for {span(since_s)}: {self._found}'

    def _result(self, now_s: float) -> Slowdown:
        slow = self._slow()
        return Slowdown(bool(slow) and self._found.warns, self._message(now_s),
                        self._values(now_s))

    def _values(self, now_s: float) -> Dict[str, str]:
        values = {'expected from': self._source()}
        for name, normal in self._expected().items():
            values[f'{name} expected p50 ms'] = f'{normal.p50:.3f}'
            values[f'{name} slower %'] = f'{100 * self._judges[name].slower(normal):.1f}'
        slow = self._slow()
        if slow:
            since_s = min(judge.since_s or now_s for judge in slow)
            values['slower for s'] = f'{now_s - since_s:.1f}'
            values['slower because'] = str(self._found)
        return values

    def _source(self) -> str:
        tuned = 'a tuning; ' if self._tuned() else ''
        if not self._normal:
            return f'{tuned}learning: {self._learning.quiet_s:.0f} of {LEARN_S:.0f} quiet s'
        load = f'under load: {self._load}' if self._load else f'in {LEARN_S:.0f} quiet s'
        return f'{tuned}learned {load}'
