"""Burns one core until it is interrupted, or its parent is gone."""

import os


def main() -> None:
    """Burn."""
    parent = os.getppid()
    try:
        while os.getppid() == parent:
            sum(range(100_000))
    except KeyboardInterrupt:
        return


if __name__ == '__main__':
    main()
