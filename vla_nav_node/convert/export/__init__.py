"""Step graphs of a policy."""
