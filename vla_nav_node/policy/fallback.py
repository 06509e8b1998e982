"""A policy that goes on by another backend when the one that drives it fails."""

from threading import Lock, Thread
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .recurrent_policy import Policy
from .runtime_spec import Runtime
from ..errors import BackendError, VlaNavError
from ..system.threads import describe
from ..types import Backend, State

FETCH_S = 0.05  # how long the state may take to come from a device, which may hang


class Link(NamedTuple):
    """One of the backends that a policy may drive by; one with a problem is left out."""

    runtime: Runtime
    backend: Optional[Backend]  # None where there is nothing to drive by, nor to close
    problem: str = ''


class Chain(NamedTuple):
    """What the user wants to drive by, then the fall-backs in their order."""

    links: Tuple[Link, ...]
    driving: int  # which of them does

    def after(self, index: int) -> List[int]:
        """Return which links may drive when those up to `index` cannot."""
        return [number for number in range(index + 1, len(self.links))
                if not self.links[number].problem]


class Abandoned(BaseException):
    """Ends a thread that came back from a hang after another one had taken its place."""


class _Attempt:
    """One step of one backend, and what came of it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.since_ns = time.perf_counter_ns()
        self.action: np.ndarray = np.zeros(0)
        self.after: State = ()
        self.problem = ''
        self.error: Optional[Exception] = None


class FallbackPolicy(Policy):
    """
    Carry the state from step to step, and from a backend that fails to the next in the chain.

    A backend has failed when it raises, hangs, or gives what nobody may drive by while the next
    one gives something sound for the same picture and state. When none can go on, the first
    failure is what it would be without fall-backs, and the next picture is tried again.
    """

    def __init__(self, chain: Chain, zero_state: State,
                 objection: Callable[[Sequence[float]], str]) -> None:
        """Drive by a chain; `objection` says of an action why nobody may drive by it, or ''."""
        super().__init__(_backend(chain), zero_state)
        self.chain = chain
        self.on_fall: Callable[[], None] = _nothing
        self._objection = objection
        self._lock = Lock()  # who claims an attempt: the thread that makes it, or its rescuer
        self._working: Optional[_Attempt] = None
        self._problems: Dict[int, str] = {}  # of this step's attempts before the one in work
        self._lost = ''  # why the state could not be kept at the last fall
        self.put(chain)

    def put(self, chain: Chain) -> Chain:
        """Drive by another chain, and give the one before; between two cycles only."""
        before, self.chain = self.chain, chain
        self.spares = bool(chain.after(chain.driving))
        self.backend = _backend(chain)
        return before

    def act(self, image: np.ndarray) -> np.ndarray:
        """Run one step as Policy.act does, by the next backend if need be."""
        if not self.spares:
            return super().act(image)
        self.before = self.state
        self._problems = {}
        attempt = self._attempt(self.chain.driving, image, self.before)
        if attempt.problem:
            attempt = self._go_on(image, attempt)
        self.state = attempt.after
        return attempt.action

    def rescue(self, problem: str, after_s: float) -> bool:
        """
        Go on by the next backend when a step takes longer than `after_s`; tell whether it does.

        For another thread than the one that hangs, which ends when it comes back. The cycle it was
        in is then lost, and someone else has to drive.
        """
        with self._lock:
            hung = self._working
            if hung is None or not self.chain.after(hung.index):
                return False
            if time.perf_counter_ns() - hung.since_ns < after_s * 1e9:
                return False  # the one before it took that long, and has failed
            self._working = None
        self.state = self._kept()
        self._fall({**self._problems, hung.index: problem}, self.chain.after(hung.index)[0],
                   hung.index)
        return True

    def warning(self) -> str:
        """Say what is not as the user wants it, and what to do; '' if all is."""
        links, driving = self.chain
        told = [f'fall-back {link.runtime} is not to be had ({link.problem}): set '
                'fallback_backends to open it again' for link in links[1:] if link.problem]
        if driving:
            left = '; '.join(f'{link.runtime}: {link.problem}' for link in links[:driving]
                             if link.problem)
            told.insert(0, f'driving on fall-back {links[driving].runtime} because of {left}'
                        f'{self._lost}; set backend to open it again')
        return '; '.join(told)

    def told(self) -> str:
        """List the fall-backs, each with how it is; '' if there are none."""
        links, driving = self.chain
        how = {index: 'failed' if link.problem else 'ready' for index, link in enumerate(links)}
        how[driving] = 'drives'
        return ', '.join(f'{links[index].runtime} {how[index]}' for index in how if index)

    @property
    def fell(self) -> bool:
        """Tell whether a fall-back drives."""
        return self.chain.driving > 0

    def _attempt(self, index: int, image: np.ndarray, state: State) -> _Attempt:
        attempt = self._working = _Attempt(index)
        try:
            action, attempt.after = self._of(index).infer(image, state)
            attempt.action = action[0]
            attempt.problem = self._objection(attempt.action.tolist())
        except Exception as error:  # noqa: BLE001  # whatever it is, another runtime may do better
            attempt.error = error
            attempt.problem = str(error) if isinstance(error, VlaNavError) else describe(error)
        with self._lock:
            if self._working is not attempt:
                raise Abandoned
            self._working = None
        return attempt

    def _of(self, index: int) -> Backend:
        backend = self.chain.links[index].backend
        assert backend is not None
        return backend

    def _go_on(self, image: np.ndarray, failed: _Attempt) -> _Attempt:
        """Return the first sound step of the backends that are left, or fail as `failed`."""
        state = self._kept()
        self._problems[failed.index] = failed.problem
        for index in self.chain.after(failed.index):
            attempt = self._attempt(index, image, state)
            if not attempt.problem:
                self.before = state
                self._fall(self._problems, index)
                return attempt
            self._problems[index] = attempt.problem
        if isinstance(failed.error, VlaNavError):
            raise BackendError('; '.join(
                f'{self.chain.links[index].runtime}: {problem}'
                for index, problem in self._problems.items())) from failed.error
        if failed.error is not None:
            raise failed.error
        return failed

    def _kept(self) -> State:
        """Return the state on the host and finite, or the zero state."""
        self._lost = ''
        try:
            state = _fetch(self.state)
        except BackendError as error:
            self._lost = f' (its state is lost, and began anew: {error})'
            return self.zero_state
        if all(np.isfinite(part).all() for part in state):
            return state
        self._lost = ' (its state was not finite, and began anew)'
        return self.zero_state

    def _fall(self, problems: Mapping[int, str], index: int, hung: int = -1) -> None:
        """Drive by another link from now on; nobody may touch the one that hangs again."""
        links = list(self.chain.links)
        for number, problem in problems.items():
            backend = None if number == hung else links[number].backend
            links[number] = links[number]._replace(problem=problem, backend=backend)
        self.put(Chain(tuple(links), index))
        self.on_fall()


def _backend(chain: Chain) -> Backend:
    backend = chain.links[chain.driving].backend
    assert backend is not None, 'what drives is open'
    return backend


def _fetch(state: State) -> State:
    """Return a state on the host, or raise BackendError; soon, though its device may hang."""
    if isinstance(state, tuple):
        return state
    found: List[State] = []
    problems = []

    def fetch() -> None:
        try:
            found.append(tuple(np.asarray(part) for part in state))
        except Exception as error:  # noqa: BLE001  # whatever it is, the state is lost
            problems.append(str(error))
    thread = Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(FETCH_S)
    if found:
        return found[0]
    raise BackendError(problems[0] if problems else 'the device that it is on hangs')


def _nothing() -> None:
    """Do nothing."""
