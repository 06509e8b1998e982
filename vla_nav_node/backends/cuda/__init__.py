"""The CUDA driver, without a framework."""
