"""Files of weights as plain data: nothing in them is ever run."""
