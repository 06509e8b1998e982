"""The policy bundle: a directory on disk."""
