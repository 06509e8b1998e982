"""Read files of weights as plain data: no code in them is ever run."""
