"""The errors a user meets: each says what was found, what was expected and what to do."""


class VlaNavError(Exception):
    """Base of every error that is the user's to mend, never a bug of ours."""

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
    """A checkpoint cannot be read, or is not of a policy that a bundle can hold."""


class BackendError(VlaNavError):
    """A backend cannot be what was asked for, or failed while it ran."""


class ImageError(VlaNavError):
    """An image message cannot be read as a picture."""


class SettingError(VlaNavError):
    """A parameter or an argument is out of its range."""


class SimulationError(VlaNavError):
    """The simulated robot cannot run here or was asked for something it does not have."""


def first_line(error: Exception) -> str:
    """Return the first line of a message that may go on for a screen."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
