"""Keep one core busy until interrupted, or until the parent has ended."""

import os


def main() -> None:
    """Burn a core."""
    parent = os.getppid()
    try:
        while os.getppid() == parent:
            sum(range(100_000))
    except KeyboardInterrupt:
        return


if __name__ == '__main__':
    main()
