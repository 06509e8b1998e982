"""Runtimes as a user names them, and the order in which they take over from one another."""

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..backends import check_request
from ..backends.options import BackendOptions, DEFAULTS
from ..errors import BackendError, SettingError
from ..types import Backend

RUNTIME_TEXT = re.compile(r'(\w+)(?::(\w+))?(?:@(\w+))?', re.ASCII)


class Runtime(NamedTuple):
    """A backend with the precision, the device and the options to open it with."""

    backend: str
    precision: str = 'fp32'
    device: str = 'auto'
    options: BackendOptions = DEFAULTS

    def __str__(self) -> str:
        """Return backend:precision@device, without the options."""
        return f'{self.backend}:{self.precision}@{self.device}'


class Link(NamedTuple):
    """A runtime in the chain; one with a problem is skipped."""

    runtime: Runtime
    backend: Optional[Backend]  # None if it could not be opened, or hangs
    problem: str = ''


class Chain(NamedTuple):
    """The runtime that the user wants, then the fallbacks in their order."""

    links: Tuple[Link, ...]
    driving: int  # index of the link that drives

    @property
    def backend(self) -> Backend:
        """Return the backend that drives."""
        return self.backend_at(self.driving)

    def backend_at(self, index: int) -> Backend:
        """Return the backend of a link that is open."""
        backend = self.links[index].backend
        assert backend is not None, 'a link that drives is open'
        return backend

    def usable_after(self, index: int) -> List[int]:
        """Return the indices of the links behind `index` that have no problem."""
        return [later for later in range(index + 1, len(self.links))
                if not self.links[later].problem]


def open_backends(links: Sequence[Link]) -> List[Backend]:
    """Return the backends of the links that are open."""
    return [link.backend for link in links if link.backend is not None]


def read_runtimes(texts: Sequence[str]) -> Tuple[Runtime, ...]:
    """
    Return the runtimes in the parameter fallback_backends, or raise SettingError.

    Omitted parts are fp32 and auto, whatever the other parameters are, so that an entry always
    means the same.
    """
    runtimes = tuple(_read(text) for text in texts)
    if len(set(runtimes)) < len(runtimes):
        raise SettingError('fallback_backends names the same twice: ' + ', '.join(texts))
    return runtimes


def _read(text: str) -> Runtime:
    parts = RUNTIME_TEXT.fullmatch(text)
    if parts is None:
        raise SettingError(f'fallback_backends has {text!r}', 'backend[:precision[@device]]',
                           "write it like 'onnx:fp16@cpu' or 'torch'")
    runtime = Runtime(parts[1], parts[2] or 'fp32', parts[3] or 'auto')
    try:
        check_request(*runtime[:3])
    except BackendError as error:
        raise SettingError(f'fallback_backends has {text!r}: {error.found}',
                           error.expected) from None
    return runtime
