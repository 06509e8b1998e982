"""One cycle, from a frame to a command: the only file that knows the order of the stages."""

from collections import deque
import time
from typing import Callable, Deque, List, NamedTuple, Optional, Tuple

import numpy as np

from .command_limits import ActionCheck
from ..errors import ImageError, VlaNavError
from ..policy.recurrent_policy import Policy
from ..types import Command, Frame, Step
from ..vision import pictures
from ..vision.preprocess import is_blank, Preprocess

RECENT = 8  # steps that are kept for the check of a new backend


class Timing(NamedTuple):
    """How long each stage of one cycle took, in ms; 0 for a stage that was not reached."""

    decode: float = 0.0
    preprocess: float = 0.0
    infer: float = 0.0
    gate: float = 0.0


class Cycle:
    """The stages, in their order."""

    def __init__(self, policy: Policy, preprocess: Preprocess, action_check: ActionCheck,
                 decode: Callable[[Frame], np.ndarray] = pictures.decode) -> None:
        """Take the stages as they are to be called."""
        self.policy = policy
        self.preprocess = preprocess
        self.action_check = action_check
        self.decode = decode
        self.blank_guard = True
        self.watch = StageTimer()
        self.recent: Deque[Step] = deque(maxlen=RECENT)
        self._step: Optional[Step] = None

    def step(self, frame: Frame) -> Tuple[Command, Timing]:
        """Turn `frame` into what the policy wants; what goes wrong on the way, into a stop."""
        watch = self.watch
        watch.start()
        try:
            watch.enter('decode')
            rgb = self.decode(frame)
            watch.enter('preprocess')
            picture = self.preprocess(rgb)
            self._refuse_blank(picture[0])
            watch.enter('infer')
            action = self.policy.act(picture)
            watch.enter('gate')
            command = self._judged(action.tolist())
        except VlaNavError as error:
            command = Command(0.0, 0.0, f'{watch.stage}: {error}')
        timing = watch.stop()
        if not command.is_stop:
            self._step = Step(picture, self.policy.before, action)
        elif timing.gate:
            self.policy.reset()  # an output that is not finite may have come out of the state
        return command, timing

    def _refuse_blank(self, picture: np.ndarray) -> None:
        if self.blank_guard and is_blank(picture):
            raise ImageError('the picture shows nothing: it is one colour but for noise',
                             'a picture of a camera (blank_guard)',
                             'uncover the lens, give it light, or look at the camera driver')

    def _judged(self, action: List[float]) -> Command:
        objection = self.action_check.objection(action)
        return Command(0.0, 0.0, objection) if objection else Command(action[0], action[1])

    def remember(self) -> None:
        """Keep the last step for the check of a new backend; when its command has left."""
        if self._step is not None:
            picture, state, action = self._step
            self.recent.append(Step(picture.copy(), state, action))  # the buffer is used again
            self._step = None

    def reset(self) -> None:
        """Forget what was seen; the wheels' ramp goes on."""
        self.policy.reset()


class StageTimer:
    """Know which stage is in work, since when, and how long the ones before it took."""

    def __init__(self) -> None:
        """Start outside of a cycle."""
        self.stage = ''  # read by other threads, to name the stage that hangs
        self.since_ns = 0
        self._spent = dict.fromkeys(Timing._fields, 0.0)

    def start(self) -> None:
        """Forget the cycle before."""
        for stage in self._spent:
            self._spent[stage] = 0.0

    def enter(self, stage: str) -> None:
        """End the stage before and begin `stage` ('' for none)."""
        now_ns = time.perf_counter_ns()
        if self.stage:
            self._spent[self.stage] = (now_ns - self.since_ns) / 1e6
        self.stage, self.since_ns = stage, now_ns

    def stop(self) -> Timing:
        """End the last stage and give the times of all."""
        self.enter('')
        return Timing(**self._spent)
