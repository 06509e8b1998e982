"""What a check is, and what it may find. A leaf."""

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple, TYPE_CHECKING

from ...errors import VlaNavError

if TYPE_CHECKING:
    from .place import Place

SKIPPED, OK, WARNING, FAILED = 'skipped', 'ok', 'warning', 'failed'
SEVERITY = (SKIPPED, OK, WARNING, FAILED)
UNWELL = (WARNING, FAILED)


@dataclass(frozen=True)
class Finding:
    """One thing that a check found; what is not well cannot be said without its remedy."""

    status: str
    found: str
    expected: str = ''
    remedy: str = ''  # a command, or what to do

    def __post_init__(self) -> None:
        """Raise TypeError for a finding that leaves its reader without help."""
        if self.status not in SEVERITY or not self.found.strip():
            raise TypeError(f'a finding of status {self.status!r} that says {self.found!r}')
        if self.status in UNWELL and not (self.expected.strip() and self.remedy.strip()):
            raise TypeError(f'no expected or no remedy for: {self.found}')


def ok(found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(OK, found)


def skipped(why: str) -> Finding:
    """Return a finding that there is nothing to check here."""
    return Finding(SKIPPED, why)


def warning(found: str, expected: str, remedy: str) -> Finding:
    """Return a finding that will hurt under conditions that it names."""
    return Finding(WARNING, found, expected, remedy)


def failed(found: str, expected: str, remedy: str) -> Finding:
    """Return a finding that has to be mended before the robot drives."""
    return Finding(FAILED, found, expected, remedy)


def explained(error: VlaNavError, expected: str, remedy: str, status: str = FAILED) -> Finding:
    """Return the finding for an error of ours, with these words where it has none."""
    return Finding(status, error.found, error.expected or expected, error.fix or remedy)


def told(parts: List[str], expected: str, remedy: str, status: str = FAILED) -> Finding:
    """Return the finding for found, expected and fix of an error in another process."""
    return explained(VlaNavError(*parts), expected, remedy, status)


Run = Callable[['Place'], Iterator[Finding]]


class Check(NamedTuple):
    """A check: its name, where it applies, what it reads, and how."""

    name: str
    applies: str
    reads: str
    run: Run


class Result(NamedTuple):
    """What a check found."""

    check: Check
    findings: Tuple[Finding, ...]
    seconds: float

    @property
    def status(self) -> str:
        """Return the worst status of the findings."""
        return self.worst.status

    @property
    def worst(self) -> Finding:
        """Return the first of the worst findings."""
        return max(self.findings, key=lambda finding: SEVERITY.index(finding.status))

    @property
    def unwell(self) -> List[Finding]:
        """Return what is not well, the worst first."""
        return sorted((finding for finding in self.findings if finding.status in UNWELL),
                      key=lambda finding: -SEVERITY.index(finding.status))

    def document(self) -> Dict[str, object]:
        """Return the result for JSON."""
        return {'name': self.check.name, 'status': self.status, 'summary': self.worst.found,
                'seconds': round(self.seconds, 3),
                'findings': [vars(finding) for finding in self.findings]}
