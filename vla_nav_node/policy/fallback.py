"""A policy that moves to another backend when the one that drives fails."""

from dataclasses import dataclass, field
from threading import Lock, Thread
import time
from typing import Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from .recurrent_policy import Policy
from .runtimes import Chain
from ..errors import BackendError, VlaNavError
from ..system.threads import describe
from ..types import State

FETCH_S = 0.05  # time for the state to come from its device, which may hang


class Abandoned(BaseException):
    """Ends a thread that returns from a hang after another thread has replaced it."""


@dataclass(eq=False)
class _Attempt:
    """One step by one backend, and its result."""

    index: int  # of the link
    started_ns: int = field(default_factory=time.perf_counter_ns)
    action: np.ndarray = field(default_factory=lambda: np.zeros(0))
    state: State = ()
    problem: str = ''
    error: Optional[Exception] = None


class FallbackPolicy(Policy):
    """
    A policy that falls back, with its state, on the next backend in its chain when one fails.

    A backend fails if it raises, hangs, or returns an unsafe action where the next one returns a
    safe action for the same image and state. If none succeeds, the first failure is raised or
    returned as a plain Policy would, and all are tried again on the next image.
    """

    def __init__(self, chain: Chain, zero_state: State,
                 action_problem: Callable[[Sequence[float]], str]) -> None:
        """Take the function that returns why an action is unsafe, or ''."""
        super().__init__(chain.backend, zero_state)
        self.chain = chain
        self.on_fallback: Callable[[], None] = lambda: None
        self._action_problem = action_problem
        self._lock = Lock()  # an attempt is claimed by its own thread or by `rescue`
        self._running: Optional[_Attempt] = None
        self._problems: Dict[int, str] = {}  # of the attempts at this step that have failed
        self._state_loss = ''  # why the last fallback could not keep the state
        self.use(chain)

    def use(self, chain: Chain) -> Chain:
        """Drive by another chain and return the old one; only between two cycles."""
        before, self.chain = self.chain, chain
        self.has_fallback = bool(chain.usable_after(chain.driving))
        self.backend = chain.backend
        return before

    def act(self, image: np.ndarray) -> np.ndarray:
        """Run one step as Policy.act does, by the next backend if necessary."""
        if not self.has_fallback:
            return super().act(image)
        self.state_before = self.state
        self._problems = {}
        attempt = self._attempt(self.chain.driving, image, self.state_before)
        if attempt.problem:
            attempt = self._try_others(image, attempt)
        self.state = attempt.state
        return attempt.action

    def rehearse(self, image: np.ndarray) -> None:
        """Run a step and drop what it returns; a hang in it can be rescued like any other."""
        attempt = self._attempt(self.chain.driving, image, self.state)
        if attempt.problem:
            raise BackendError(attempt.problem)

    def rescue(self, problem: str, after_s: float) -> bool:
        """
        Switch to the next backend if a step has taken longer than `after_s`; return whether.

        For another thread than the one that hangs. That one raises Abandoned when it returns; its
        cycle is lost, and another thread has to drive.
        """
        with self._lock:
            hung = self._running
            if hung is None or not self.chain.usable_after(hung.index):
                return False
            if time.perf_counter_ns() - hung.started_ns < after_s * 1e9:
                return False  # the attempt before it took that long, and has failed
            self._running = None
        self.state = self._recover_state()
        self._switch({**self._problems, hung.index: problem},
                     self.chain.usable_after(hung.index)[0], hung.index)
        return True

    def warning(self) -> str:
        """Return what differs from the user's wish, and what to do; '' if nothing does."""
        links, driving = self.chain
        warnings = [f'fallback {link.runtime} is unavailable ({link.problem}): set '
                    'fallback_backends to reopen it' for link in links[1:] if link.problem]
        if driving:
            causes = '; '.join(f'{link.runtime}: {link.problem}' for link in links[:driving]
                               if link.problem)
            warnings.insert(0, f'driving on fallback {links[driving].runtime} because of {causes}'
                            f'{self._state_loss}; set backend to reopen it')
        return '; '.join(warnings)

    def list_fallbacks(self) -> str:
        """Return each fallback and whether it is ready, drives or has failed; '' if none."""
        links, driving = self.chain
        return ', '.join(
            f'{link.runtime} ' + ('drives' if index == driving else
                                  'failed' if link.problem else 'ready')
            for index, link in enumerate(links) if index)

    @property
    def has_fallen_back(self) -> bool:
        """Return whether a fallback drives."""
        return self.chain.driving > 0

    def _attempt(self, index: int, image: np.ndarray, state: State) -> _Attempt:
        attempt = self._running = _Attempt(index)
        try:
            action, attempt.state = self.chain.backend_at(index).infer(image, state)
            attempt.action = action[0]
            attempt.problem = self._action_problem(attempt.action.tolist())
        except Exception as error:  # noqa: BLE001  # on any error another runtime may do better
            attempt.error = error
            attempt.problem = str(error) if isinstance(error, VlaNavError) else describe(error)
        with self._lock:
            if self._running is not attempt:
                raise Abandoned
            self._running = None
        return attempt

    def _try_others(self, image: np.ndarray, failed: _Attempt) -> _Attempt:
        """Return the first safe step of the remaining backends, or fail as `failed` did."""
        state = self._recover_state()
        self._problems[failed.index] = failed.problem
        for index in self.chain.usable_after(failed.index):
            attempt = self._attempt(index, image, state)
            if not attempt.problem:
                self.state_before = state
                self._switch(self._problems, index)
                return attempt
            self._problems[index] = attempt.problem
        if isinstance(failed.error, VlaNavError):
            raise BackendError('; '.join(
                f'{self.chain.links[index].runtime}: {problem}'
                for index, problem in self._problems.items())) from failed.error
        if failed.error is not None:
            raise failed.error
        return failed

    def _recover_state(self) -> State:
        """Return the state on the host if it is available and finite, else the zero state."""
        self._state_loss = ''
        try:
            state = _fetch(self.state)
        except BackendError as error:
            self._state_loss = f' (its state was lost, and reset: {error})'
            return self.zero_state
        if all(np.isfinite(part).all() for part in state):
            return state
        self._state_loss = ' (its state was not finite, and reset)'
        return self.zero_state

    def _switch(self, problems: Mapping[int, str], index: int, hung: int = -1) -> None:
        """Drive by another link; drop the backend that hangs, so that nothing touches it again."""
        links = list(self.chain.links)
        for failed, problem in problems.items():
            backend = None if failed == hung else links[failed].backend
            links[failed] = links[failed]._replace(problem=problem, backend=backend)
        self.use(Chain(tuple(links), index))
        self.on_fallback()


def _fetch(state: State) -> State:
    """Return a state on the host; raise BackendError if its device fails or hangs."""
    if isinstance(state, tuple):
        return state
    fetched: List[State] = []
    problems = []

    def fetch() -> None:
        try:
            fetched.append(tuple(np.asarray(part) for part in state))
        except Exception as error:  # noqa: BLE001  # on any error the state is lost
            problems.append(str(error))
    thread = Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(FETCH_S)
    if fetched:
        return fetched[0]
    raise BackendError(problems[0] if problems else 'its device hangs')
