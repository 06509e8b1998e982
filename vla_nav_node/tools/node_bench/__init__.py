"""`vla_nav latency`: what the node costs, beside an idiomatic node and a bare echo."""
