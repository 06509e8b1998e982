"""How a probe tells what it finds: one JSON object a line, so that a crash loses only the last."""

import json
import os
import sys
from typing import Any, Callable, List

from ...errors import first_line, VlaNavError

Tell = Callable[..., None]


def parts(error: Exception) -> List[str]:
    """Return found, expected and fix of an error."""
    if isinstance(error, VlaNavError):
        return [error.found, error.expected, error.fix]
    return [f'{type(error).__name__}: {first_line(error)}', '', '']


def answer(work: Callable[..., None], arguments: List[str]) -> None:
    """
    Run `work(tell, *arguments)` and end the process.

    What libraries print goes to stderr. The end skips their destructors: nothing hangs on them.
    """
    output = os.dup(1)
    os.dup2(2, 1)

    def tell(**facts: Any) -> None:
        os.write(output, json.dumps(facts, default=str).encode() + b'\n')
    try:
        work(tell, *arguments)
    except Exception as error:  # noqa: BLE001  # whatever a broken library raises
        tell(error=parts(error))
    sys.stderr.flush()
    os._exit(0)
