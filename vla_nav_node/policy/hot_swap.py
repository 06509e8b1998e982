"""Other runtimes for the policy while the robot drives."""

from concurrent.futures import wait
from functools import partial
from threading import Lock
from typing import List, Mapping, Optional, Sequence

import numpy as np

from .driving_thread import DrivingThread, REQUEST_TIMEOUT_S
from .fallback import Chain, FallbackPolicy, Link
from .runtime_opener import close, RuntimeOpener
from .runtime_spec import Runtime
from ..bundle.bundle import Bundle
from ..bundle.changes import BundleChanges
from ..errors import BackendError
from ..types import Backend, Step

FIRST_CYCLE_S = 2.0  # how long to wait for the first cycle of the new backend
QUIET_S = 0.1  # how long an opening backend waits for the moment after a cycle


class HotSwap:
    """Open, warm up and check backends beside the running one, then exchange them."""

    def __init__(self, watch: BundleChanges, loop: DrivingThread, policy: FallbackPolicy,
                 opener: RuntimeOpener) -> None:
        """Swap the backends of `driver`'s policy by verified ones."""
        self._watch = watch
        self._loop = loop
        self._policy = policy
        self._opener = opener
        self._one_at_a_time = Lock()

    @property
    def busy(self) -> bool:
        """Tell whether a swap is going on."""
        return self._one_at_a_time.locked()

    def swap(self, first: Optional[Runtime], spares: Sequence[Runtime] = (),
             renew: bool = False) -> str:
        """
        Drive by `first` (None: by what drives now) with fall-backs; give what drives then.

        Fall-backs that are not open are opened if `renew`. What cannot be had raises, and all goes
        on as it was.
        """
        with self._one_at_a_time:
            now = self._watch.check()  # its hashes were those of the start
            opened: List[Backend] = []  # by this swap
            before: Optional[Chain] = None  # what drove until the hand-over
            try:
                fresh = {runtime: self._open(runtime, now, opened)
                         for runtime in (self._lacking(spares) if renew else ())}
                if first is not None:
                    new = Link(first, self._open(first, now, opened))
                    before = self._loop.between_cycles(lambda: self._lead(new))
                    self._see_it_drive(new, opened)
                chain = before or self._policy.chain
                if spares or len(self._policy.chain.links) > 1:
                    self._loop.between_cycles(lambda: self._arrange(spares, fresh))
            except BaseException:
                self._undo(before, opened)
                raise
            self._close_unused((*_backends(chain), *opened))
            return str(self._policy.backend.info)

    def _open(self, runtime: Runtime, now: Bundle, opened: List[Backend]) -> Backend:
        backend = self._opener.open_warm(runtime, now, self._after_a_cycle)
        opened.append(backend)
        self._watch.confirm()
        self._check(backend)
        return backend

    def _undo(self, before: Optional[Chain], opened: Sequence[Backend]) -> None:
        """Drive as before, and close what was opened; where the driving thread hangs, later."""
        if before is None:
            return self._close_unused(opened)
        back = self._loop.request(partial(self._policy.put, before))
        wait([back], REQUEST_TIMEOUT_S)
        back.add_done_callback(lambda _: self._close_unused(opened))
        return None

    def _close_unused(self, backends: Sequence[Backend]) -> None:
        """Close what nobody drives by."""
        used = _backends(self._policy.chain)
        for backend in backends:
            if not any(backend is other for other in used):
                close(backend)

    def _after_a_cycle(self) -> None:
        """Wait for the best moment to hold the interpreter up: a command has just left."""
        if self._loop.is_receiving():
            self._loop.wait_for_cycle(QUIET_S)

    def _check(self, new: Backend) -> None:
        bundle = self._opener.bundle
        running = self._policy.backend.info.precision
        # Each may be off the exact result by its own tolerance, in opposite directions.
        allowed = bundle.tolerance(running) + bundle.tolerance(new.info.precision)
        found = worst_difference(new, tuple(self._loop.cycle.recent))
        if not found <= allowed:
            raise BackendError(
                f'{new.info} differs by {found:.2g} m/s from the running backend on the same '
                f'images and state', f'at most {allowed:.2g} m/s',
                "run 'vla_nav verify' on the bundle")

    def _lacking(self, spares: Sequence[Runtime]) -> List[Runtime]:
        """Return the fall-backs that are not open, or have failed."""
        ready = {link.runtime for link in self._policy.chain.links[1:] if not link.problem}
        return [runtime for runtime in spares if runtime not in ready]

    def _see_it_drive(self, new: Link, opened: List[Backend]) -> None:
        """Raise if the first cycle of what leads now fails."""
        loop = self._loop
        outcome = loop.wait_for_cycle(FIRST_CYCLE_S) if loop.is_receiving() else None
        leader = self._policy.chain.links[0]
        problem = leader.problem
        if outcome is None:
            problem = problem or loop.hang()
        elif outcome.timing.infer and outcome.command.is_stop:
            problem = problem or outcome.command.reason
        if not problem:
            return
        assert new.backend is not None
        if leader.backend is None:
            opened.remove(new.backend)  # it hangs in a thread that was given up
        raise BackendError(f'the first cycle of {new.backend.info} failed: {problem}')

    def _lead(self, new: Link) -> Chain:
        """Put a link first; where there are fall-backs, what drove until now is the next."""
        links, driving = self._policy.chain
        others = () if len(links) == 1 else links[1:] if driving else links
        return self._policy.put(Chain((new, *others), 0))

    def _arrange(self, spares: Sequence[Runtime], opened: Mapping[Runtime, Backend]) -> None:
        """Put the fall-backs in their order after what drives."""
        links, driving = self._policy.chain
        known = {link.runtime: _without_failed(link) for link in links[1:]}
        known.update((runtime, Link(runtime, backend)) for runtime, backend in opened.items())
        head = (links[0],) if not driving else (_without_failed(links[0]), links[driving])
        rest = [known[runtime] for runtime in spares
                if not driving or runtime != links[driving].runtime]
        self._policy.put(Chain((*head, *rest), 1 if driving else 0))


def _without_failed(link: Link) -> Link:
    return link._replace(backend=None) if link.problem else link


def _backends(chain: Chain) -> List[Backend]:
    return [link.backend for link in chain.links if link.backend is not None]


def worst_difference(backend: Backend, steps: Sequence[Step]) -> float:
    """Return by how much `backend` differs at most from the actions of `steps`, in m/s."""
    differences = [np.abs(backend.infer(step.image, step.state)[0][0] - step.action).max()
                   for step in steps]
    return float(np.max(differences)) if differences else 0.0  # NaN stays NaN
