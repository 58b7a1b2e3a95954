"""The actor system: it starts and ends actors, and has what they share: names, events, time, routers.

It knows the kernel, whose `Host` it is, refs and dispatchers, and nothing of `Actor` and of agents.
`ActorSystem` owns its state on its loop's thread; `current` owns the default systems of the process.
"""
