"""Exchange the runtimes of the policy while the robot drives."""

from concurrent.futures import wait
from functools import partial
from threading import Lock
from typing import List, Mapping, Optional, Sequence

import numpy as np

from .fallback import FallbackPolicy
from .hang_recovery import DrivingThread, REQUEST_TIMEOUT_S
from .runtime_opener import close, RuntimeOpener
from .runtimes import Chain, Link, open_backends, Runtime
from ..bundle.bundle import Bundle
from ..bundle.changed_on_disk import BundleChanges
from ..errors import BackendError
from ..types import Backend, Step

FIRST_CYCLE_S = 2.0  # how long to wait for the first cycle of the new backend
QUIET_S = 0.1  # how long an opening backend waits for the end of a cycle


class HotSwap:
    """Opens, warms up and checks runtimes beside the running one, then exchanges them."""

    def __init__(self, bundle_changes: BundleChanges, loop: DrivingThread, policy: FallbackPolicy,
                 opener: RuntimeOpener) -> None:
        """Exchange the runtimes of `policy`, which drives in the thread of `loop`."""
        self._bundle_changes = bundle_changes
        self._loop = loop
        self._policy = policy
        self._opener = opener
        self._swapping = Lock()

    @property
    def busy(self) -> bool:
        """Return whether a swap is in progress."""
        return self._swapping.locked()

    def swap(self, first: Optional[Runtime], fallbacks: Sequence[Runtime] = (),
             reopen: bool = False) -> str:
        """
        Drive by `first` (None: by the current runtime) with `fallbacks`; return what drives then.

        With `reopen`, open the fallbacks that are not ready. On failure, raise and leave the
        running backend and its fallbacks unchanged.
        """
        with self._swapping:
            on_disk = self._bundle_changes.check()  # the loaded one was hashed at the start
            opened: List[Backend] = []  # by this swap
            before: Optional[Chain] = None  # set once `first` drives
            try:
                new = {runtime: self._open(runtime, on_disk, opened)
                       for runtime in (self._not_ready(fallbacks) if reopen else ())}
                if first is not None:
                    leader = Link(first, self._open(first, on_disk, opened))
                    before = self._loop.between_cycles(lambda: self._put_first(leader))
                    self._check_first_cycle(leader, opened)
                replaced = before or self._policy.chain
                if fallbacks or len(self._policy.chain.links) > 1:
                    self._loop.between_cycles(lambda: self._put_fallbacks(fallbacks, new))
            except BaseException:
                self._undo(before, opened)
                raise
            self._close_unused((*open_backends(replaced.links), *opened))
            return str(self._policy.backend.info)

    def _open(self, runtime: Runtime, on_disk: Bundle, opened: List[Backend]) -> Backend:
        backend = self._opener.open_warm(runtime, on_disk, self._wait_for_quiet)
        opened.append(backend)
        self._bundle_changes.confirm()
        self._check_agreement(backend)
        return backend

    def _undo(self, before: Optional[Chain], opened: Sequence[Backend]) -> None:
        """Restore the chain, then close what was opened, even if the driving thread hangs now."""
        if before is None:
            self._close_unused(opened)
            return
        restored = self._loop.request(partial(self._policy.use, before))
        wait([restored], REQUEST_TIMEOUT_S)
        restored.add_done_callback(lambda _: self._close_unused(opened))

    def _close_unused(self, backends: Sequence[Backend]) -> None:
        """Close the backends that are not in the policy's chain."""
        used = open_backends(self._policy.chain.links)
        for backend in backends:
            if not any(backend is other for other in used):
                close(backend)

    def _wait_for_quiet(self) -> None:
        """Wait for the end of a cycle: the best time to hold the interpreter up."""
        if self._loop.is_receiving():
            self._loop.wait_for_cycle(QUIET_S)

    def _check_agreement(self, new: Backend) -> None:
        """Raise BackendError if `new` computes other actions than the running backend did."""
        bundle = self._opener.bundle
        # Each may differ from the exact result by its own tolerance, in opposite directions.
        allowed = (bundle.tolerance(self._policy.backend.info.precision)
                   + bundle.tolerance(new.info.precision))
        difference = worst_difference(new, tuple(self._loop.cycle.recent_steps))
        if not difference <= allowed:
            raise BackendError(
                f'{new.info} differs by {difference:.2g} m/s from the running backend on the same '
                'images and state', f'at most {allowed:.2g} m/s',
                "run 'vla_nav verify' on the bundle")

    def _not_ready(self, fallbacks: Sequence[Runtime]) -> List[Runtime]:
        """Return the fallbacks that are not open, or have failed."""
        ready = {link.runtime for link in self._policy.chain.links[1:] if not link.problem}
        return [runtime for runtime in fallbacks if runtime not in ready]

    def _check_first_cycle(self, leader: Link, opened: List[Backend]) -> None:
        """Raise BackendError if the first cycle of the new leader fails."""
        loop = self._loop
        outcome = loop.wait_for_cycle(FIRST_CYCLE_S) if loop.is_receiving() else None
        now = self._policy.chain.links[0]
        problem = now.problem
        if outcome is None:
            problem = problem or loop.hang()
        elif outcome.timing.infer and outcome.command.is_stop:
            problem = problem or outcome.command.reason
        if not problem:
            return
        assert leader.backend is not None
        if now.backend is None:
            opened.remove(leader.backend)  # it hangs in an abandoned thread: never close it
        raise BackendError(f'the first cycle of {leader.backend.info} failed: {problem}')

    def _put_first(self, leader: Link) -> Chain:
        """Put a link first; if there are fallbacks, the running link becomes the next."""
        links, driving = self._policy.chain
        others = () if len(links) == 1 else links[1:] if driving else links
        return self._policy.use(Chain((leader, *others), 0))

    def _put_fallbacks(self, fallbacks: Sequence[Runtime],
                       opened: Mapping[Runtime, Backend]) -> None:
        """Put the fallbacks in their order behind the link that drives."""
        links, driving = self._policy.chain
        known = {link.runtime: _without_failed(link) for link in links[1:]}
        known.update((runtime, Link(runtime, backend)) for runtime, backend in opened.items())
        head = (links[0],) if not driving else (_without_failed(links[0]), links[driving])
        rest = [known[runtime] for runtime in fallbacks
                if not driving or runtime != links[driving].runtime]
        self._policy.use(Chain((*head, *rest), 1 if driving else 0))


def _without_failed(link: Link) -> Link:
    return link._replace(backend=None) if link.problem else link


def worst_difference(backend: Backend, steps: Sequence[Step]) -> float:
    """Return the largest difference of `backend` from the actions of `steps`, in m/s."""
    differences = [np.abs(backend.infer(step.image, step.state)[0][0] - step.action).max()
                   for step in steps]
    return float(np.max(differences)) if differences else 0.0  # NaN stays NaN
