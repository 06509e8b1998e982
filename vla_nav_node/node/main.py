"""Start the node and return its exit status."""

import os
import sys
from typing import List, Optional, Sequence

from ..errors import VlaNavError
from ..system.shutdown_signals import StartupSignals

# Only what loads in milliseconds is imported above: ROS and the runtimes take most of the start,
# and Ctrl-C has to end that quietly too.

NAME = 'vla_nav_node'  # of the executable
# How long a thread may hold the interpreter while another one waits; Python's default of 5 ms is a
# quarter of a control period.
SWITCH_S = 0.0005


def main(args: Optional[List[str]] = None) -> int:
    """Run the node; return 0 after a signal, 1 after a failure, 2 if it cannot start."""
    starting = StartupSignals()
    try:
        return _start_and_run(sys.argv[1:] if args is None else args, starting)
    except Exception as error:  # noqa: BLE001  # the user gets one line and a status
        from ..doctor.symptoms import explained
        from ..system.threads import describe
        known = isinstance(error, VlaNavError)
        print(f'{NAME}: {explained(error, str(error) if known else describe(error))}',
              file=sys.stderr)
        return 2 if known else 1


def _start_and_run(arguments: Sequence[str], starting: StartupSignals) -> int:
    from . import managed_node
    from .start.ros_arguments import refuse_non_ros
    from .start.shutdown_context import start
    context = None
    try:
        refuse_non_ros(NAME, managed_node.ABOUT, arguments)
        sys.setswitchinterval(SWITCH_S)
        starting.raise_interrupts()  # from here on there is a ROS context to shut down
        context = start(arguments)
        node = managed_node.VlaNavNode(context)
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
