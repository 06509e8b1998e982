"""The arena and what the camera sees of it."""
