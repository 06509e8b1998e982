"""The policy: its files, its verdicts, its time."""
