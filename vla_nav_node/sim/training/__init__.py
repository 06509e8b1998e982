"""How the policy that ships is trained."""
