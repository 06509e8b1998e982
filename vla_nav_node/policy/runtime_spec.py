"""What may drive a policy, as a user writes it: backend[:precision[@device]]."""

import re
from typing import NamedTuple, Sequence, Tuple

from ..backends import check_request
from ..backends.options import BackendOptions, DEFAULTS
from ..errors import BackendError, SettingError

WRITTEN = re.compile(r'(\w+)(?::(\w+))?(?:@(\w+))?', re.ASCII)


class Runtime(NamedTuple):
    """A backend, the precision and the device it is to run in, and the options it reads."""

    backend: str
    precision: str = 'fp32'
    device: str = 'auto'
    options: BackendOptions = DEFAULTS

    def __str__(self) -> str:
        """Return it as it can be written, without the options."""
        return f'{self.backend}:{self.precision}@{self.device}'


def read_runtimes(texts: Sequence[str]) -> Tuple[Runtime, ...]:
    """
    Read the parameter fallback_backends, or raise SettingError.

    What is left out is fp32 and auto, whatever else is set: an entry always means the same.
    """
    runtimes = tuple(_read(text) for text in texts)
    if len(set(runtimes)) < len(runtimes):
        raise SettingError('fallback_backends names the same twice: ' + ', '.join(texts))
    return runtimes


def _read(text: str) -> Runtime:
    found = WRITTEN.fullmatch(text)
    if found is None:
        raise SettingError(f'fallback_backends has {text!r}', 'backend[:precision[@device]]',
                           "write it like 'onnx:fp16@cpu' or 'torch'")
    runtime = Runtime(found[1], found[2] or 'fp32', found[3] or 'auto')
    try:
        check_request(*runtime[:3])
    except BackendError as error:
        raise SettingError(f'fallback_backends has {text!r}: {error.found}',
                           error.expected) from None
    return runtime
