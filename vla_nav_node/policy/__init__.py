"""
What drives the robot, and what takes over from it.

RuntimeOpener opens the runtimes that the user named (`runtimes`) and chains them: the wanted one,
then the fallbacks. FallbackPolicy carries the recurrent state through the first usable one and,
when that fails, on to the next. HangRecovery sees a backend that hangs and starts another driving
thread. HotSwap opens another runtime beside the running one and exchanges them between two cycles.
"""
