"""What has become of a run: its state, the events that change it, and what can be seen of it.

May know the definitions and the store's records; nothing here asks, waits or writes.
A `Run` belongs to the machine that runs it, and between two of them to the engine's actor.
"""
