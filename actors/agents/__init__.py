"""Agents: a handler or a model behind an address that stays valid across restarts.

It knows the kernel, `ActorSystem`, `Actor` and the dispatchers; supervision and patterns stand on it.
An `Address` is the record of what is restarted under one name, its incarnation included. Its state is
owned by the loop's thread of its system; the directory and the model runners belong to the process.
"""
