"""What is wrong here, why, and what mends it."""
