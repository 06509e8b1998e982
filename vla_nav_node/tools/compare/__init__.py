"""`vla_nav compare`: two models side by side."""
