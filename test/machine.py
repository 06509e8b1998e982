"""What this machine can run."""

from vla_nav_node.backends import check_machine
from vla_nav_node.errors import BackendError


def why_not(name):
    """Return why this machine cannot run a backend, '' if it can."""
    try:
        check_machine(name)
    except BackendError as error:
        return str(error)
    return ''
