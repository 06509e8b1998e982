"""Start the node and return its exit status."""

import os
import sys
from typing import List, Optional, Sequence

from .managed_node import ABOUT, NAME, VlaNavNode
from .start.ros_arguments import refuse_non_ros
from .start.shutdown_context import start
from ..errors import VlaNavError
from ..system.shutdown_signals import StartupSignals
from ..system.threads import describe

# How long a thread may hold the interpreter while another one waits; Python's default of 5 ms is a
# quarter of a control period.
SWITCH_S = 0.0005


def main(args: Optional[List[str]] = None) -> int:
    """Run the node; return 0 after a signal, 1 after a failure, 2 if it cannot start."""
    arguments = sys.argv[1:] if args is None else args
    try:
        refuse_non_ros(NAME, ABOUT, arguments)
        sys.setswitchinterval(SWITCH_S)
        return _start_and_run(arguments, StartupSignals())
    except VlaNavError as error:
        print(f'{NAME}: {error}', file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001  # the user gets one line and a status
        print(f'{NAME}: {describe(error)}', file=sys.stderr)
        return 1


def _start_and_run(arguments: Sequence[str], starting: StartupSignals) -> int:
    context = None
    try:
        context = start(arguments)
        node = VlaNavNode(context)
        starting.check()
        return node.run(starting)
    except BaseException:
        if not starting.interrupted:
            raise
    finally:
        if context is not None:
            context.try_shutdown()
    # Libraries turn an interrupt into errors of their own, and Python ends by SIGINT even if it
    # was handled, when it came while code was being compiled.
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
