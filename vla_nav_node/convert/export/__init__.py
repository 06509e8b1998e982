"""Export step graphs, and write bundles with them."""
