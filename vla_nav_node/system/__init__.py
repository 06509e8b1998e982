"""Threads, memory, files and the machine."""
