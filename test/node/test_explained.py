"""The node says why a backend does not open: in the log, and to `ros2 param set`."""

import pytest
from vla_nav_node.errors import BackendError
from vla_nav_node.node import main
from vla_nav_node.node.lifecycle import Lifecycle
from vla_nav_node.node.parameter_calls import answer

ERROR_35 = 'CUDA initialization failure with error: 35. Please check your CUDA installation'
CAUSE, FIX = 'cudaErrorInsufficientDriver', 'fix: Update the driver'


def failing(error):
    """Return a function that raises an error."""
    def fail(*_):
        raise error
    return fail


@pytest.mark.parametrize('error', [RuntimeError(ERROR_35), BackendError(ERROR_35)])
def test_the_reason_of_a_refused_parameter_has_the_cause_and_the_fix(error):
    result = answer(failing(error), [])
    assert not result.successful
    assert ERROR_35 in result.reason
    assert CAUSE in result.reason
    assert FIX in result.reason


def test_an_error_with_a_fix_of_its_own_stays_as_it_is():
    error = BackendError(ERROR_35, fix='set device to cpu')
    assert answer(failing(error), []).reason == str(error)


@pytest.mark.parametrize('error, status', [
    (RuntimeError(ERROR_35), 1), (BackendError(ERROR_35), 2)])
def test_a_start_that_fails_says_why(monkeypatch, capsys, error, status):
    monkeypatch.setattr(main, '_start_and_run', failing(error))
    monkeypatch.setattr(main, 'StartupSignals', lambda: None)
    assert main.main([]) == status
    said = capsys.readouterr().err
    assert CAUSE in said
    assert FIX in said
    assert said.count('\n') == 1


class Logger:
    """Keep what is logged."""

    def error(self, text):
        """Keep it."""
        self.text = text


def test_a_transition_that_fails_says_why():
    lifecycle = Lifecycle.__new__(Lifecycle)
    lifecycle._logger = Logger()
    lifecycle._log('configure', RuntimeError(ERROR_35))
    assert lifecycle._logger.text.startswith('configure: RuntimeError')
    assert CAUSE in lifecycle._logger.text
