"""Executing a pattern: the coordinator, the pieces of work that it asks for, and their events.

Knows definitions and the vocabulary, and no kind of pattern. Each execution is owned by its
coordinator, an actor of its own.
"""
