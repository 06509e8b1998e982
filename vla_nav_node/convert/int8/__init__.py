"""The int8 step graph: which layers, how, and what it costs."""
