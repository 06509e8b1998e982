"""ROS 2: its environment, and the graph if one runs."""
