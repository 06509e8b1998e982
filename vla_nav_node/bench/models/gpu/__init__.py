"""Parity and times of every backend on a GPU."""
