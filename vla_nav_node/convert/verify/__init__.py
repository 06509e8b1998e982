"""Whether a converted policy still does what the trained one did."""
