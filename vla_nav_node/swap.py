"""Another runtime for the policy while the robot drives."""

from threading import Lock
from typing import Callable, Sequence

import numpy as np

from .backends import check_machine
from .backends.options import BackendOptions, DEFAULTS
from .bundle import Bundle
from .bundle_watch import BundleWatch
from .cycle import Step
from .driver import Driver
from .errors import BackendError
from .interfaces import Backend
from .verification import refuse

Open = Callable[[str, Bundle, str, str, Callable[[], None], BackendOptions], Backend]

WARM_UPS = 3  # runtimes choose kernels and allocate on the first runs
FIRST_CYCLE_S = 2.0  # how long to wait for the first cycle of the new backend
QUIET_S = 0.1  # how long an opening backend waits for the moment after a cycle


class Swapper:
    """Open, warm up and check a backend beside the running one, then exchange them."""

    def __init__(self, bundle: Bundle, watch: BundleWatch, driver: Driver,
                 open_backend: Open, allow_unverified: bool = False) -> None:
        """Swap the backend of `driver`'s policy by verified ones of `open_backend`."""
        self._bundle = bundle
        self._watch = watch
        self._driver = driver
        self._policy = driver.cycle.policy
        self._open = open_backend
        self._allow_unverified = allow_unverified
        self._one_at_a_time = Lock()

    @property
    def busy(self) -> bool:
        """Tell whether a swap is going on."""
        return self._one_at_a_time.locked()

    def swap(self, backend: str, precision: str, device: str,
             options: BackendOptions = DEFAULTS) -> str:
        """Drive by another backend; give what it is, or raise while the old one drives on."""
        with self._one_at_a_time:
            now = self._watch.check()  # its hashes were those of the start
            check_machine(backend)  # first: what cannot be had here needs no verdict
            refuse(now, backend, precision, self._allow_unverified)
            new = self._open(backend, self._bundle, precision, device, self._after_a_cycle,
                             options)
            try:
                self._warm_up(new)
                self._check(new)
                old = self._hand_over(new)
            except Exception:
                new.close()
                raise
            old.close()
            return str(new.info)

    def _after_a_cycle(self) -> None:
        """Wait for the best moment to hold the interpreter up: a command has just left."""
        if self._driver.is_receiving():
            self._driver.wait_for_cycle(QUIET_S)

    def _warm_up(self, new: Backend) -> None:
        image = np.zeros(self._bundle.input.shape, np.uint8)
        for _ in range(WARM_UPS):
            new.infer(image, self._bundle.zero_state())

    def _check(self, new: Backend) -> None:
        running = self._policy.backend.info.precision
        # Each may be off the exact result by its own tolerance, in opposite directions.
        allowed = self._bundle.tolerance(running) + self._bundle.tolerance(new.info.precision)
        found = worst_difference(new, tuple(self._driver.cycle.recent))
        if not found <= allowed:
            raise BackendError(
                f'{new.info} differs by {found:.2g} m/s from the running backend on the same '
                f'images and state', f'at most {allowed:.2g} m/s',
                "run 'vla_nav verify' on the bundle")

    def _hand_over(self, new: Backend) -> Backend:
        driver = self._driver
        old = driver.between_cycles(lambda: self._exchange(new))
        outcome = driver.wait_for_cycle(FIRST_CYCLE_S) if driver.is_receiving() else None
        if outcome is not None and outcome.timing.infer and outcome.command.is_stop:
            driver.between_cycles(lambda: self._exchange(old))
            raise BackendError(f'the first cycle of {new.info} failed: {outcome.command.reason}')
        return old

    def _exchange(self, new: Backend) -> Backend:
        old, self._policy.backend = self._policy.backend, new
        return old


def worst_difference(backend: Backend, steps: Sequence[Step]) -> float:
    """Give by how much `backend` differs at most from the actions of `steps`, in m/s."""
    differences = [np.abs(backend.infer(step.image, step.state)[0][0] - step.action).max()
                   for step in steps]
    return float(np.max(differences)) if differences else 0.0  # NaN stays NaN
