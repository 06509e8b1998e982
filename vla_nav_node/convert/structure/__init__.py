"""Derive a network's structure from shapes and from what the user states; make the bundle."""
