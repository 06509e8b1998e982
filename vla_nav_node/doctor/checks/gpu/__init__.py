"""GPUs of NVIDIA, and what is to run on them."""
