"""The node, with something else in its process that shuts ROS down under it on SIGUSR1."""

import signal
import sys

from vla_nav_node import node


class ShutNode(node.VlaNavNode):
    """The node as it is."""

    def run(self):
        """Run it; its main thread serves the signal."""
        signal.signal(signal.SIGUSR1, lambda *_: self.context.shutdown())
        return super().run()


if __name__ == '__main__':
    node.VlaNavNode = ShutNode
    sys.exit(node.main())
