"""Memory of model agents: what they were told and said, kept by session in a store, one turn at a time.

Knows `agenticaiframework.actors`, the stores of `agenticaiframework.patterns.engine`, and pydantic-ai's
messages. Sessions are owned by their store; who has the turn, and which stores are open, by the `SessionHome` of a system.
"""

from .history import History

__all__ = ["History"]
