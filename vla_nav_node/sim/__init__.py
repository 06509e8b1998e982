"""The simulated robot: world, expert, training and evaluation, and its ROS 2 node."""
