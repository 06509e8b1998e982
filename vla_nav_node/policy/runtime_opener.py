"""Open runtimes that are ready to drive: allowed by the bundle, and warmed up."""

import logging
from typing import Callable, List, Optional, Sequence

import numpy as np

from .runtimes import Chain, Link, open_backends, Runtime
from ..backends import check_machine
from ..backends.options import BackendOptions
from ..bundle.bundle import Bundle
from ..bundle.verdicts import require_verified
from ..errors import BackendError, VlaNavError
from ..system.threads import describe
from ..types import Backend

Open = Callable[[str, Bundle, str, str, Optional[Callable[[], None]], BackendOptions], Backend]

LOG = logging.getLogger(__name__)
WARM_UPS = 3  # runtimes choose kernels and allocate memory on the first runs


def close(backend: Backend) -> None:
    """Close a backend; log an error instead of raising it, since nothing depends on it."""
    try:
        backend.close()
    except Exception as error:  # noqa: BLE001  # a broken runtime may raise anything
        LOG.error('%s could not be closed: %s', backend.info, describe(error))


class RuntimeOpener:
    """Opens the runtimes of one bundle."""

    def __init__(self, bundle: Bundle, open_backend: Open, allow_unverified: bool = False) -> None:
        """Take the function that opens a backend: backends.open_backend."""
        self.bundle = bundle
        self._open = open_backend
        self._allow_unverified = allow_unverified

    def open_cold(self, runtime: Runtime, on_disk: Optional[Bundle] = None,
                  quiet: Optional[Callable[[], None]] = None) -> Backend:
        """
        Open a runtime without running it.

        `on_disk` is the bundle as it is on disk now, if it may differ from the loaded one; for
        `quiet` see open_backend. Raise BackendError if this machine cannot open it, BundleError
        if the bundle does not allow it.
        """
        check_machine(runtime.backend)  # first: without it here, the verdict does not matter
        require_verified(on_disk or self.bundle, runtime.backend, runtime.precision,
                         self._allow_unverified)
        return self._open(runtime.backend, self.bundle, runtime.precision, runtime.device, quiet,
                          runtime.options)

    def open_warm(self, runtime: Runtime, on_disk: Optional[Bundle] = None,
                  quiet: Optional[Callable[[], None]] = None) -> Backend:
        """Open a runtime as open_cold does, and run its first steps."""
        backend = self.open_cold(runtime, on_disk, quiet)
        image = np.zeros(self.bundle.input.shape, np.uint8)
        try:
            for _ in range(WARM_UPS):
                backend.infer(image, self.bundle.zero_state())
        except BaseException:
            close(backend)
            raise
        return backend

    def open_chain(self, first: Runtime, fallbacks: Sequence[Runtime]) -> Chain:
        """
        Open all runtimes at the start; the first that opens drives.

        A runtime that this machine cannot open becomes a link with a problem; raise BackendError
        if that is true of all. Raise BundleError if the bundle does not allow one of them.
        """
        if not fallbacks:
            return Chain((Link(first, self.open_cold(first)),), 0)
        links: List[Link] = []
        try:
            for runtime in (first, *fallbacks):
                links.append(self._link(runtime))
        except BaseException:
            for backend in open_backends(links):
                close(backend)
            raise
        for index, link in enumerate(links):
            if link.backend is not None:
                return Chain(tuple(links), index)
        raise BackendError('; '.join(f'{link.runtime}: {link.problem}' for link in links))

    def _link(self, runtime: Runtime) -> Link:
        try:
            return Link(runtime, self.open_warm(runtime))
        except BackendError as error:
            return Link(runtime, None, str(error))
        except VlaNavError:
            raise
        except Exception as error:  # noqa: BLE001  # a broken runtime may raise anything
            return Link(runtime, None, describe(error))
