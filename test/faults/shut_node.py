"""The node, and a thread in its process that shuts ROS down when stdin ends."""

import sys
from threading import Thread

from vla_nav_node.node import main


class ShutNode(main.VlaNavNode):
    """The node with that thread."""

    def run(self):
        """Start the thread, and run."""
        Thread(target=self._shut, daemon=True).start()
        return super().run()

    def _shut(self):
        sys.stdin.read()
        self.context.shutdown()


if __name__ == '__main__':
    main.VlaNavNode = ShutNode
    sys.exit(main.main())
