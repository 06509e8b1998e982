"""Texts for diagnostics and the log: what is wrong, and what to do about it."""
