"""Before the node starts: command line, ROS context, Fast DDS profile."""
