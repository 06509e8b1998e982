"""What may crash or hang: each runs in a process of its own and tells what it finds."""
