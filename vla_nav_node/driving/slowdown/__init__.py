"""Notice that the node has become slower than expected, and why; docs/diagnostics.md tells how."""
