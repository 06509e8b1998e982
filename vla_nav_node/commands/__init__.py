"""The verbs of `vla_nav`, one file each: they parse, compose the rooms below, and print."""
