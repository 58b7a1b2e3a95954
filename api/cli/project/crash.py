"""Crashes on purpose: `--crash researcher@2` ends an agent at its second message."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agenticaiframework.actors import AgenticError, near_names

_FORM = re.compile(r"(?P<agent>.+)@(?P<message>[1-9]\d{0,17})")


class BadCrash(AgenticError, ValueError):
    """A crash was asked for that cannot happen."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(f"--crash {text}: {problem} For example: --crash researcher@2")
        self.text = text


class InjectedCrash(RuntimeError):
    """The crash that was asked for."""

    def __init__(self, agent: str, message: int) -> None:
        super().__init__(f"{agent!r} crashed on purpose at its message {message}")


class Crash:
    """Ends one agent at its n-th message, counted over all its incarnations.

    ``seen`` counts the messages; ``landed`` tells whether it has happened. Counted on the event
    loop's thread or, for a plain handler, in the one thread that runs the agent at a time.
    """

    def __init__(self, agent: str, message: int) -> None:
        self.agent = agent
        self.message = message
        self.seen = 0

    @property
    def landed(self) -> bool:
        """Whether the agent has got that far."""
        return self.seen >= self.message

    def __str__(self) -> str:
        return f"{self.agent}@{self.message}"

    def around(self, handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        """Return *handler*, an async function of the payload, with the crash in front of it."""

        async def crashing(payload: Any) -> Any:
            self.seen += 1
            if self.seen == self.message:
                raise InjectedCrash(self.agent, self.message)
            answer = handler(payload)
            return await answer if inspect.isawaitable(answer) else answer

        return crashing

    def around_plain(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return *handler*, a plain function that may block, with the crash in front of it."""

        def crashing(payload: Any) -> Any:
            self.seen += 1
            if self.seen == self.message:
                raise InjectedCrash(self.agent, self.message)
            return handler(payload)

        return crashing


def read_crash(text: str, agents: Iterable[str]) -> Crash:
    """Return the crash that ``agent@n`` asks for; raises `BadCrash`."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadCrash(text, "it is the agent, '@', and the number of the message.")
    known = list(agents)
    if found["agent"] not in known:
        raise BadCrash(
            text, f"there is no agent {found['agent']!r}. {near_names(found['agent'], known)}"
        )
    return Crash(found["agent"], int(found["message"]))
