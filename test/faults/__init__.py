"""The fault matrix: what can go wrong around a driving node, and what it does about it."""
