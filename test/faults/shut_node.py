"""The node, and a thread in its process that shuts ROS down when stdin ends."""

import sys
from threading import Thread

from vla_nav_node.node import main, managed_node


class ShutNode(managed_node.VlaNavNode):
    """The node with that thread."""

    def run(self, starting):
        """Start the thread, and run."""
        Thread(target=self._shut, daemon=True).start()
        return super().run(starting)

    def _shut(self):
        sys.stdin.read()
        self.context.shutdown()


if __name__ == '__main__':
    managed_node.VlaNavNode = ShutNode
    sys.exit(main.main())
