"""Expressions in definitions that are data: ``input.total > 100``.

Reading them, and evaluating them over a scope within bounds. Knows `agenticaiframework.actors` alone.
An expression is immutable; nothing here owns state.
"""
