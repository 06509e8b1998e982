"""One frame to one command: no ROS, no framework."""
