"""What runs one run: a machine that decides, and the actor that carries out what it says.

May know the definitions, the store's records and the state; the engine is known as a `RunHost`.
A coordinator owns its run, its machine and its workers.
"""
