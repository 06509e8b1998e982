"""Find the tensors of a policy in whatever file they were saved in."""
