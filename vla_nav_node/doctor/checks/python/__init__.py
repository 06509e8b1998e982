"""What is installed for this Python."""
