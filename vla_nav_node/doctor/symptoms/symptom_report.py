"""An explanation for the terminal and as JSON."""

from dataclasses import asdict
import textwrap
from typing import Any, Dict, List

from .explanation import Explanation, Finding

WIDTH = 100
SCHEMA = 1  # of as_json


def as_json(explanation: Explanation) -> Dict[str, Any]:
    """Return an explanation as a document."""
    return {'schema': SCHEMA, 'facts': dict(explanation.facts),
            'unknown': list(explanation.unknown),
            'symptoms': [{**asdict(finding), 'platforms': dict(finding.platforms)}
                         for finding in explanation.findings]}


def report_lines(explanation: Explanation) -> List[str]:
    """Return the lines to print: the symptoms, each behind its causes, then what is not known."""
    lines = [] if explanation.findings else ['no known symptom']
    for number, finding in enumerate(explanation.findings, start=1):
        lines += _lines_of(number, finding)
    if explanation.unknown:
        lines.append('not known:')
        lines += [f'  {line}' for line in explanation.unknown]
    return lines


def _lines_of(number: int, finding: Finding) -> List[str]:
    follows = f' (follows from {", ".join(finding.follows)})' if finding.follows else ''
    follows += ' (harmless)' if finding.harmless else ''
    return [f'{number}. {finding.name}{follows}',
            *_wrapped(f'line {finding.line_number}', finding.line),
            *_wrapped('cause', finding.cause), *_wrapped('fix', finding.remedy),
            *(line for platform, text in finding.platforms
              for line in _wrapped(platform.lower(), text)),
            *_wrapped('source', finding.source), '']


def _wrapped(label: str, text: str) -> List[str]:
    return textwrap.wrap(f'{label}: {text}', WIDTH, initial_indent='   ',
                         subsequent_indent='     ', break_long_words=False,
                         break_on_hyphens=False)
