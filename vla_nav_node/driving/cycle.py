"""One cycle, from a frame to a command: the only file that knows the order of the stages."""

from collections import deque
import time
from typing import Callable, Deque, NamedTuple, Optional, Tuple

import numpy as np

from .command_limits import ActionCheck
from ..errors import ImageError, VlaNavError
from ..policy.recurrent_policy import Policy
from ..types import CAMERA, Command, DRIVING, Frame, POLICY, Step
from ..vision import image_encodings
from ..vision.blank_check import is_blank
from ..vision.preprocess import Preprocess

RECENT = 8  # steps that are kept to check a new backend with
# Which status of diagnostics owns an error of a stage.
OWNERS = {'decode': CAMERA, 'preprocess': CAMERA, 'infer': POLICY, 'gate': POLICY}


class Timing(NamedTuple):
    """The time of each stage of one cycle in ms; 0 for a stage that was not reached."""

    decode: float = 0.0
    preprocess: float = 0.0
    infer: float = 0.0
    gate: float = 0.0


class Cycle:
    """The stages in their order."""

    def __init__(self, policy: Policy, preprocess: Preprocess, action_check: ActionCheck,
                 decode: Callable[[Frame], np.ndarray] = image_encodings.decode) -> None:
        """Take the stages."""
        self.policy = policy
        self.preprocess = preprocess
        self.action_check = action_check
        self.decode = decode
        self.blank_guard = True
        self.stage_timer = StageTimer()
        self.recent_steps: Deque[Step] = deque(maxlen=RECENT)
        self._step: Optional[Step] = None
        self._picture: Optional[np.ndarray] = None  # of the last good step

    def run(self, frame: Frame) -> Tuple[Command, Timing]:
        """Return the command for `frame`, a stop if a stage fails, and the times of the stages."""
        timer = self.stage_timer
        timer.start()
        try:
            timer.enter('decode')
            rgb = self.decode(frame)
            timer.enter('preprocess')
            picture = self.preprocess(rgb)
            self._refuse_blank(picture[0])
            timer.enter('infer')
            action = self.policy.act(picture)
            timer.enter('gate')
            wanted = action.tolist()
            problem = self.action_check.problem(wanted)
            command = (Command(0.0, 0.0, problem, POLICY) if problem else
                       Command(wanted[0], wanted[1], stamp_ns=frame.stamp_ns))
        except VlaNavError as error:
            command = Command(0.0, 0.0, f'{timer.stage}: {error}',
                              OWNERS.get(timer.stage, DRIVING))
        timing = timer.stop()
        if not command.is_stop:
            self._step = Step(picture, self.policy.state_before, action)
            self._picture = picture
        else:
            self._picture = None  # what fails is not rehearsed
            if timing.gate:
                self.policy.reset()  # the state may be why the output is not finite
        return command, timing

    def rehearse(self) -> None:
        """Run the policy on the last good picture, for nothing but speed; it is watched alike."""
        if self._picture is None:
            return
        self.stage_timer.enter('infer')
        try:
            self.policy.rehearse(self._picture)
        except VlaNavError:
            self._picture = None  # the step on the next picture tells, and falls back
        finally:
            self.stage_timer.enter('')

    def _refuse_blank(self, picture: np.ndarray) -> None:
        if self.blank_guard and is_blank(picture):
            raise ImageError('the picture shows nothing: it is one colour but for noise',
                             'a picture of a camera (blank_guard)',
                             'uncover the lens, give it light, or check the camera driver')

    def keep_step(self) -> None:
        """Keep the last step to check a new backend with; call it after the command has left."""
        if self._step is not None:
            picture, state, action = self._step
            self.recent_steps.append(Step(picture.copy(), state, action))  # the buffer is reused
            self._step = None


class StageTimer:
    """The stage that is running, since when, and the times of those before it."""

    def __init__(self) -> None:
        """Start outside of a cycle."""
        self.stage = ''  # read by other threads, to name the stage that hangs
        self.since_ns = 0
        self._spent = dict.fromkeys(Timing._fields, 0.0)

    def start(self) -> None:
        """Start a cycle: set all times to zero."""
        for stage in self._spent:
            self._spent[stage] = 0.0

    def enter(self, stage: str) -> None:
        """End the stage before and begin `stage` ('' for none)."""
        now_ns = time.perf_counter_ns()
        if self.stage:
            self._spent[self.stage] = (now_ns - self.since_ns) / 1e6
        self.stage, self.since_ns = stage, now_ns

    def stop(self) -> Timing:
        """End the last stage and return the times of all."""
        self.enter('')
        return Timing(**self._spent)
