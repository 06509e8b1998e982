"""
The checks within `ros2 doctor`, by its entry points ros2doctor.checks and ros2doctor.report.

Nothing of ros2doctor is imported before it calls, and nothing of the checks. Its classes are not
subclassed: from Humble to Lyrical it calls category(), check() and report(), whatever they are.
"""

from typing import Any, List, TYPE_CHECKING

if TYPE_CHECKING:
    from .checks.check import Result

CATEGORY = 'vla_nav'
_results: 'List[Result]' = []  # of this process: --report asks check and report for the same


def results() -> 'List[Result]':
    """Run the checks once in a process, and return their results."""
    if not _results:
        from .checks import CHECKS
        from .checks.place import Place
        from .examination import examine
        _results.extend(examine(CHECKS, Place()))
    return _results


class VlaNavCheck:
    """Say what failed and what is a warning, in the words of `vla_nav doctor`."""

    def category(self) -> str:
        """Return the name that links the check with its report."""
        return CATEGORY

    def check(self) -> Any:
        """Run the checks; return ros2doctor's Result."""
        from ros2doctor.api import Result
        from ros2doctor.api.format import doctor_error, doctor_warn
        from .checks.check import FAILED
        answer = Result()
        for result in results():
            for finding in result.unwell:
                text = f'vla_nav {result.check.name}: {finding.found}; fix: {finding.remedy}'
                if finding.status == FAILED:
                    doctor_error(text)
                    answer.add_error()
                else:
                    doctor_warn(text)
                    answer.add_warning()
        return answer


class VlaNavReport:
    """List every check with what it found."""

    def category(self) -> str:
        """Return the name that links the report with its check."""
        return CATEGORY

    def report(self) -> Any:
        """Run the checks; return ros2doctor's Report."""
        from ros2doctor.api import Report
        report = Report('VLA_NAV: BACKENDS, MACHINE, CAMERA AND COMMANDS')
        for result in results():
            report.add_to_report(result.check.name, f'{result.status}: {result.worst.found}')
        return report
