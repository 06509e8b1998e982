"""Two models side by side: quality and cost."""
