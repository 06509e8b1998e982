"""Read a checkpoint: find the policy's tensors in it, and fold norms and masks into them."""
