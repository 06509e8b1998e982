"""How often a policy reaches the cup."""
