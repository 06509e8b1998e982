"""Models on runtimes, one matrix: policy, backend, precision, device, threads."""
