"""The search for the fastest settings that are true, at the robot's own pace."""
