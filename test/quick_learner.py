"""The node, which learns in a few seconds what is normal."""

import sys

from vla_nav_node.driving.slowdown import expected
from vla_nav_node.node import main

expected.WARM_UP_S, expected.LEARN_S, expected.PATIENCE_S = 3.0, 6.0, 12.0

if __name__ == '__main__':
    sys.exit(main.main())
