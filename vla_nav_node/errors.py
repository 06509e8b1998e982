"""Errors for users: each states what was found, what was expected and the fix."""


class VlaNavError(Exception):
    """The base of all errors that a user can fix; never a bug of this package."""

    def __init__(self, found: str, expected: str = '', fix: str = '') -> None:
        """Join the three parts into one message of one line."""
        self.found, self.expected, self.fix = found, expected, fix
        parts = [found]
        if expected:
            parts.append(f'expected {expected}')
        if fix:
            parts.append(f'fix: {fix}')
        super().__init__('; '.join(parts))


class BundleError(VlaNavError):
    """A policy bundle is missing, altered or does not fit its manifest."""


class CheckpointError(VlaNavError):
    """A checkpoint cannot be read, or holds a policy that no bundle can."""


class BackendError(VlaNavError):
    """A backend cannot be opened as requested, or failed while running."""


class ImageError(VlaNavError):
    """An image message cannot be decoded."""


class SettingError(VlaNavError):
    """A parameter or an argument is out of its range."""


class SimulationError(VlaNavError):
    """The simulated robot cannot run here, or lacks what was requested."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which may be long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
