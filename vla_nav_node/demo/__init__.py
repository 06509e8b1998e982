"""The live demo: processes, listener, view and report."""
