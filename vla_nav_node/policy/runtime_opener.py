"""Open the runtimes of a policy ready to drive: allowed to, and warmed up."""

import logging
from typing import Callable, Optional, Sequence

import numpy as np

from .fallback import Chain, Link
from .runtime_spec import Runtime
from ..backends import check_machine
from ..backends.options import BackendOptions
from ..bundle.bundle import Bundle
from ..bundle.verdicts import require_verified
from ..errors import BackendError, VlaNavError
from ..system.threads import describe
from ..types import Backend

Open = Callable[[str, Bundle, str, str, Optional[Callable[[], None]], BackendOptions], Backend]

LOG = logging.getLogger(__name__)
WARM_UPS = 3  # runtimes choose kernels and allocate on the first runs


def close(backend: Backend) -> None:
    """Close a backend; an error there is logged, for it changes nothing of what is going on."""
    try:
        backend.close()
    except Exception as error:  # noqa: BLE001  # a runtime that is broken, in its own way
        LOG.error('%s could not be closed: %s', backend.info, describe(error))


class RuntimeOpener:
    """Open runtimes of one bundle."""

    def __init__(self, bundle: Bundle, open_backend: Open, allow_unverified: bool = False) -> None:
        """Take what opens a backend: backends.open_backend."""
        self.bundle = bundle
        self._open = open_backend
        self._allow_unverified = allow_unverified

    def open_cold(self, runtime: Runtime, now: Optional[Bundle] = None,
                  quiet: Optional[Callable[[], None]] = None) -> Backend:
        """
        Open a runtime, or raise BackendError (not on this machine) or BundleError (not this one).

        `now` is the bundle as it is on disk, if that may be another; `quiet` see open_backend.
        """
        check_machine(runtime.backend)  # first: what cannot be had here needs no verdict
        require_verified(now or self.bundle, runtime.backend, runtime.precision,
                         self._allow_unverified)
        return self._open(runtime.backend, self.bundle, runtime.precision, runtime.device, quiet,
                          runtime.options)

    def open_warm(self, runtime: Runtime, now: Optional[Bundle] = None,
                  quiet: Optional[Callable[[], None]] = None) -> Backend:
        """Do the same as open_cold, and let its first steps be over."""
        backend = self.open_cold(runtime, now, quiet)
        image = np.zeros(self.bundle.input.shape, np.uint8)
        try:
            for _ in range(WARM_UPS):
                backend.infer(image, self.bundle.zero_state())
        except BaseException:
            close(backend)
            raise
        return backend

    def open_chain(self, first: Runtime, spares: Sequence[Runtime]) -> Chain:
        """
        Open all at the start; drive by the first that opens, or raise.

        What this machine cannot open is told by the chain. What this bundle does not allow is a
        mistake of whoever wrote it, and raises.
        """
        if not spares:
            return Chain((Link(first, self.open_cold(first)),), 0)
        links = tuple(self._link(runtime) for runtime in (first, *spares))
        for index, link in enumerate(links):
            if link.backend is not None:
                return Chain(links, index)
        raise BackendError('; '.join(f'{link.runtime}: {link.problem}' for link in links))

    def _link(self, runtime: Runtime) -> Link:
        try:
            return Link(runtime, self.open_warm(runtime))
        except BackendError as error:
            return Link(runtime, None, str(error))
        except VlaNavError:
            raise
        except Exception as error:  # noqa: BLE001  # a runtime that is broken, in its own way
            return Link(runtime, None, describe(error))
