"""What network the tensors belong to: what shapes tell, and what is asked."""
