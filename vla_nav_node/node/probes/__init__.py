"""What `vla_nav doctor` asks ROS, each in a process of its own."""
