"""From camera bytes to the input of the network."""
