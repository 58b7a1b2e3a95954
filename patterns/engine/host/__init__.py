"""The engine's actors: they take runs in, give them their turn, wake them and bring them back.

May know everything below: the store, the definitions, the state and the runner.
`EngineCore` owns the live runs of one engine in one system, `Keeper` its standing with the store.
"""
