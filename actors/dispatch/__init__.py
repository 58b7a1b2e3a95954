"""Where handlers run that do not run on the loop: threads, child processes, and a watchdog over the loop.

It knows the kernel, whose `Job` it carries out, and refs; it knows no system and no agents.
Each pool owns its threads and its queue of jobs; the actors' state stays with the loop.
"""
