"""Shared notes: a blackboard that the members of a team read and write while they work.

Each task, workflow and discussion has one of its own, so that two of them never see each other's.
It is an actor, so that two members who write at the same time cannot lose each other's notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from agenticaiframework.actors import Actor, ActorRef, AgenticError, agent_context

NOTES: Final = "agenticaiframework.notes"
"""Where a member's context has the `SharedNotes` of what it works on."""


class NotesUnavailable(AgenticError):
    """Shared notes were asked for where there are none."""

    def __init__(self, why: str) -> None:
        super().__init__(f"There are no shared notes here: {why}")


@dataclass(frozen=True, slots=True)
class _Do:
    """A function that the notes' actor applies to its entries."""

    work: Callable[[dict[str, tuple[Any, int]]], Any]


class NotesActor(Actor):
    """Owns the notes of one execution. Ends with its coordinator, who started it with a link."""

    exit_is_crash = True

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, tuple[Any, int]] = {}

    def on_receive(self, message: Any) -> Any:
        return cast(_Do, message).work(self._entries)


class SharedNotes:
    """The notes of one task, workflow or discussion. Values are passed, not copied.

    ``await`` its methods in an ``async`` handler; in a plain handler, which runs in a thread, use
    the same methods of `blocking`.
    """

    __slots__ = ("_ref",)

    def __init__(self, ref: ActorRef[NotesActor]) -> None:
        self._ref = ref

    async def read(self, key: str, default: Any = None) -> Any:
        """Return the note under *key*."""
        return await self._ref.request(_read(key, default))

    async def write(self, key: str, value: Any) -> int:
        """Replace the note under *key*; return its version, which counts the writes."""
        return cast(int, await self._ref.request(_write(key, value)))

    async def write_if(self, key: str, value: Any, version: int) -> bool:
        """Replace the note if its version is still *version* (0: there is none); tell whether it was."""
        return cast(bool, await self._ref.request(_write_if(key, value, version)))

    async def version(self, key: str) -> int:
        """Return how often the note under *key* has been written."""
        return cast(int, await self._ref.request(_version(key)))

    async def append(self, key: str, value: Any) -> int:
        """Add *value* to the list under *key*, and return how long it is now."""
        return cast(int, await self._ref.request(_append(key, value)))

    async def all(self) -> dict[str, Any]:
        """Return all notes."""
        return cast("dict[str, Any]", await self._ref.request(_ALL))

    @property
    def blocking(self) -> BlockingNotes:
        """The same notes for plain handlers, which may block."""
        return BlockingNotes(self._ref)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A handler in another process cannot reach them, and is told so when it asks.
        return type(None), ()


class BlockingNotes:
    """The notes for handlers that run in threads; see `SharedNotes`."""

    __slots__ = ("_ref",)

    def __init__(self, ref: ActorRef[NotesActor]) -> None:
        self._ref = ref

    def read(self, key: str, default: Any = None) -> Any:
        """Return the note under *key*."""
        return self._ref.ask(_read(key, default))

    def write(self, key: str, value: Any) -> int:
        """Replace the note under *key*; return its version."""
        return cast(int, self._ref.ask(_write(key, value)))

    def write_if(self, key: str, value: Any, version: int) -> bool:
        """Replace the note if its version is still *version*; tell whether it was."""
        return cast(bool, self._ref.ask(_write_if(key, value, version)))

    def append(self, key: str, value: Any) -> int:
        """Add *value* to the list under *key*, and return how long it is now."""
        return cast(int, self._ref.ask(_append(key, value)))

    def all(self) -> dict[str, Any]:
        """Return all notes."""
        return cast("dict[str, Any]", self._ref.ask(_ALL))


def shared_notes() -> SharedNotes:
    """Return the notes of the task, workflow or discussion that the running handler works on.

    Raises `NotesUnavailable` outside a team's work.
    """
    notes = agent_context().get(NOTES)
    if not isinstance(notes, SharedNotes):
        raise NotesUnavailable(
            "this handler does not run for a team's task, workflow or discussion, or runs in another "
            "process."
        )
    return notes


_Entries = dict[str, tuple[Any, int]]


def _read(key: str, default: Any) -> _Do:
    return _Do(lambda entries: entries.get(key, (default, 0))[0])


def _version(key: str) -> _Do:
    return _Do(lambda entries: entries.get(key, (None, 0))[1])


def _write(key: str, value: Any) -> _Do:
    def write(entries: _Entries) -> int:
        version = entries.get(key, (None, 0))[1] + 1
        entries[key] = (value, version)
        return version

    return _Do(write)


def _write_if(key: str, value: Any, version: int) -> _Do:
    def write(entries: _Entries) -> bool:
        if entries.get(key, (None, 0))[1] != version:
            return False
        entries[key] = (value, version + 1)
        return True

    return _Do(write)


def _append(key: str, value: Any) -> _Do:
    def append(entries: _Entries) -> int:
        old, version = entries.get(key, (None, 0))
        # A new list each time: readers of the old one must not see it grow.
        new = [*cast("list[Any]", old), value] if isinstance(old, list) else [value]
        entries[key] = (new, version + 1)
        return len(new)

    return _Do(append)


_ALL: Final = _Do(lambda entries: {key: value for key, (value, _) in entries.items()})
