"""What drives, and what drives next."""
