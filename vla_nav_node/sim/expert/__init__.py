"""The expert that sees the map, and how an episode is driven."""
