"""The results as lines of text, and as a document."""

from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

from .checks.check import Check, FAILED, OK, Result, SEVERITY, SKIPPED, WARNING
from ..system.machine import package_version

SCHEMA = 1  # of the JSON document
STYLES = {OK: 'green', WARNING: 'yellow', FAILED: 'bold red', SKIPPED: 'dim', '': ''}
Line = Tuple[str, str]  # style of rich, text


def lines(result: Result, width: int) -> List[Line]:
    """Return one line for a result, and below it the details of what is not well."""
    shown = [(STYLES[result.status],
              f'{result.status:7}  {result.check.name:{width}}  {result.worst.found}')]
    for finding in result.unwell:
        if finding is not result.worst:
            shown.append((STYLES[finding.status], f'{"":9}{"":{width}}  {finding.found}'))
        shown += [('', f'{"":9}{"":{width}}    expected: {finding.expected}'),
                  ('', f'{"":9}{"":{width}}    fix: {finding.remedy}')]
    return shown


def summary(results: Sequence[Result], seconds: float) -> str:
    """Return how many results have which status."""
    counts = Counter(result.status for result in results)
    return ', '.join(f'{counts[status]} {status}' for status in reversed(SEVERITY)
                     if counts[status]) + f'; {seconds:.1f} s'


def document(results: Sequence[Result], seconds: float) -> Dict[str, Any]:
    """Return the document for JSON."""
    return {'schema': SCHEMA, 'version': package_version(), 'seconds': round(seconds, 2),
            'passed': not any(result.status == FAILED for result in results),
            'checks': [result.document() for result in results]}


def table(checks: Sequence[Check]) -> List[str]:
    """Return a line for each check: its name, where it applies, and what it reads."""
    width = max(len(check.name) for check in checks)
    return [f'{check.name:{width}}  {check.applies}: {check.reads}' for check in checks]
