"""`vla_nav gpu-bench`: all backends x precisions on a GPU, in one go and within a time limit."""
