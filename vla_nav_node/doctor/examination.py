"""Run the checks side by side; those that take the processor take turns."""

from concurrent.futures import ThreadPoolExecutor
import time
from typing import Callable, List, Sequence

from .checks.check import Check, explained, failed, Finding, Result
from .checks.place import Place
from ..errors import VlaNavError
from ..system.threads import describe

REPORT = 'report this line with the output of: vla_nav doctor --json -'


def examine(checks: Sequence[Check], place: Place,
            show: Callable[[Result], None] = lambda result: None) -> List[Result]:
    """Run all checks, and show each result in the order of `checks`."""
    results = []
    with ThreadPoolExecutor(max(len(checks), 1)) as pool:
        for result in pool.map(lambda check: run(check, place), checks):
            show(result)
            results.append(result)
    return results


def run(check: Check, place: Place) -> Result:
    """Run one check; one that fails itself is a finding, too."""
    start_s = time.monotonic()
    findings: List[Finding] = []
    try:
        findings.extend(check.run(place))
    except VlaNavError as error:
        findings.append(explained(error, 'no error', REPORT))
    except Exception as error:  # noqa: BLE001  # one broken check must not hide the others
        findings.append(failed(f'the check itself broke: {describe(error)}', 'a result', REPORT))
    if not findings:
        findings.append(failed('the check said nothing', 'a result', REPORT))
    return Result(check, tuple(findings), time.monotonic() - start_s)
