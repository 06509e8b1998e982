"""What diagnostics and the log say, in words that a person can act on."""
