"""
Explain a log or a traceback: known symptoms, the cause first, and what mends it.

The symptoms are data, in data/*.yaml; docs/troubleshooting.md is written from the same files.
"""

from .explanation import explain, explain_file, explained, Explanation, Finding
from .symptom_report import as_json, report_lines

__all__ = ['as_json', 'explain', 'explain_file', 'explained', 'Explanation', 'Finding',
           'report_lines']
