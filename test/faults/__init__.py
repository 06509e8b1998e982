"""The fault matrix: faults around a driving node, and its reactions."""
