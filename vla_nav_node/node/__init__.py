"""The ROS 2 node: the only room on the robot that imports rclpy."""
