"""
What can make this process slow, read from Linux.

One module for each cause: a reader that takes a sample, and `explain(before, now)`, which compares
the samples of a time when all was well with the newest ones and returns a sentence, '' if they
do not differ. What cannot be read (no such file, no permission) is None, never an error.
"""
