"""From the bytes of a camera to the input of the network."""
