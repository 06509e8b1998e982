"""What the user names: a model, the inputs of a file, a config to write into."""
