"""The node beside an idiomatic one and a bare echo."""
