"""What a tuning shows: while it runs, and when it has ended."""
