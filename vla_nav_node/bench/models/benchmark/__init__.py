"""Every backend and precision of some policies, in turns."""
