"""Models side by side, each in a process of its own: what compare and benchmark share."""
