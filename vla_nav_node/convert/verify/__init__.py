"""Compare backends, precisions and step graphs with their reference."""
