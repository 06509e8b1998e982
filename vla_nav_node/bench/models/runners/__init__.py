"""How a candidate is opened and run in a process of its own."""
