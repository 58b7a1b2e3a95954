"""The words of supervision: strategies and kinds, what can be wrong, exit reasons, exceptions.

Knows `agenticaiframework.actors` and nothing else of this layer.
Has no state.
"""
