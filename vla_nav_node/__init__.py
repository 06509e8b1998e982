"""Drive an omniwheel robot by camera: a recurrent policy as a ROS 2 node, and its tools."""
