"""The machine below: processor, limits, disk and memory."""
