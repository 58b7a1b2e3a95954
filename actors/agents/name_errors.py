"""A name that no agent has, and one that several have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..errors import AgenticError, near_names

MOST_PLACES = 5
"""How many places an error lists at most."""


class UnknownAgent(AgenticError, LookupError):
    """A name that no agent has. *made_at* is where one was made and not kept, if that is known."""

    def __init__(
        self,
        name: str,
        known: Iterable[str],
        where: str | None = None,
        made_at: str | None = None,
    ) -> None:
        place = f"{where}: " if where else ""
        hint = near_names(name, known)
        if made_at is not None:
            hint = f"One was made at {made_at} and is gone, because nothing kept it."
        super().__init__(
            f"{place}no agent is called {name!r}. {hint} "
            f"Make one with Agent({name!r}, handler=...) and keep a reference to it, "
            "or register it with the engine."
        )
        self.name = name
        self.made_at = made_at


class AmbiguousAgent(AgenticError, LookupError):
    """A name that several agents have, none of which was made by the code that asks for it.

    *made_at* lists the places (``file:line``) at which they were made.
    """

    def __init__(self, name: str, made_at: Iterable[str], where: str | None = None) -> None:
        place = f"{where}: " if where else ""
        self.name = name
        self.made_at = tuple(made_at)
        counted = Counter(self.made_at)
        listed = [f"{at} ({n} of them)" if n > 1 else at for at, n in counted.items()]
        if len(listed) > MOST_PLACES:
            listed[MOST_PLACES:] = ["..."]
        self.without_hints = (
            f"{place}several agents are called {name!r}, and none of them was made in this context. "
            f"Register the one that is meant: engine.register_agent({name!r}, agent)."
        )
        """The same however many there are, and wherever they were made: they come and go."""
        super().__init__(
            f"{place}{len(self.made_at)} agents are called {name!r}, and none of them was made in "
            f"this context; they were made at {', '.join(listed)}. Pass the Agent itself instead of "
            f"its name, register it with the engine (engine.register_agent({name!r}, agent)), or "
            "give each a name of its own."
        )
