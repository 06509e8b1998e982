"""Quantise step graphs to int8: which layers, how, and what it costs."""
