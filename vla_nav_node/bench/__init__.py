"""Measuring: policies on runtimes (models), the node beside others (node)."""
