"""The node, with something else in its process that shuts ROS down under it when stdin ends."""

import sys
from threading import Thread

from vla_nav_node.node import main


class ShutNode(main.VlaNavNode):
    """The node as it is, beside a thread that it does not know of."""

    def run(self):
        """Run it."""
        Thread(target=self._shut, daemon=True).start()
        return super().run()

    def _shut(self):
        sys.stdin.read()
        self.context.shutdown()


if __name__ == '__main__':
    main.VlaNavNode = ShutNode
    sys.exit(main.main())
