"""A directory of named things: weak, so that a service may make agents for ever."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from .line_of_making import POINT, Line, Point, next_point, points_behind
from .name_errors import AmbiguousAgent, UnknownAgent

OPTIMIZED: Final = 1  # inspect.CO_OPTIMIZED: the code of a function, not of a module or a class

MOST_DROPPED: Final = 256
"""Of how many names of dropped agents it is known where they were made."""


class Named(Protocol):
    """What a directory holds."""

    name: str


N = TypeVar("N", bound=Named)


class Entry(weakref.ref[Any]):
    """One agent, weakly: its name, where it stands among those made, and the code that made it."""

    __slots__ = ("at_module_level", "code", "instruction", "left", "line", "name", "number")

    name: str
    line: Line
    number: int
    code: CodeType
    instruction: int
    at_module_level: bool
    left: bool
    """Whether it was taken out while its agent lives."""

    @property
    def made_at(self) -> str:
        """The file and line that made it."""
        return _place(self.code, self.instruction)


class Namesakes:
    """Several living agents of one name. Owned by the directory."""

    __slots__ = ("at_module_level", "by_line", "count")

    def __init__(self) -> None:
        self.by_line: dict[Line, dict[int, Entry]] = {}
        self.at_module_level: dict[tuple[Line, int], Entry] = {}
        self.count = 0

    def add(self, entry: Entry) -> None:
        self.by_line.setdefault(entry.line, {})[entry.number] = entry
        if entry.at_module_level:
            self.at_module_level[entry.line, entry.number] = entry
        self.count += 1

    def remove(self, entry: Entry) -> None:
        on_line = self.by_line[entry.line]
        del on_line[entry.number]
        if not on_line:
            del self.by_line[entry.line]
        self.at_module_level.pop((entry.line, entry.number), None)
        self.count -= 1

    def entries(self) -> Iterator[Entry]:
        for on_line in self.by_line.values():
            yield from on_line.values()

    def made_before(self, point: Point | None) -> Any:
        """Return the living agent that the context at *point* has made last, or come from; or None."""
        for line, latest in points_behind(point):
            on_line = self.by_line.get(line)
            for number in reversed(on_line or ()):
                if number <= latest and on_line is not None:
                    agent = on_line[number]()
                    if agent is not None:
                        return agent
        return None

    def of_a_module(self) -> Any:
        """Return the living agent that the code of a module has made last, or None."""
        for entry in reversed(self.at_module_level.values()):
            agent = entry()
            if agent is not None:
                return agent
        return None


class Directory(Generic[N]):
    """The agents of the process by name. Safe from any thread.

    A name means the latest agent of that name that was made in the context that asks (see
    `line_of_making`), or in one that it came from; else the latest that the code of a module made, for
    threads, which come from nowhere; else the only living one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Entry | Namesakes] = {}
        self._dead: deque[Entry] = deque()
        """Entries to be taken out. An agent may go at any moment, within any line below."""
        self._dropped: dict[str, tuple[CodeType, int]] = {}

    def enter(self, agent: N, frame: FrameType, alias: str | None = None) -> Entry:
        """Enter *agent*, which the code of *frame* makes, under its name, or *alias*."""
        code = frame.f_code
        if code.co_name == "__init__":
            frame = _outside_of_constructors(agent, frame)
            code = frame.f_code
        entry = Entry(agent, self._gone)
        name = entry.name = agent.name if alias is None else alias
        entry.left = False
        entry.code = code
        entry.instruction = frame.f_lasti
        entry.at_module_level = not code.co_flags & OPTIMIZED and _is_of_module(frame)
        with self._lock:
            point = entry.line, entry.number = next_point(POINT.get())
            entry.line.living += 1
            others = self._by_name.get(name)
            if others is None:
                self._by_name[name] = entry
            else:
                if others.__class__ is Entry:
                    first = cast(Entry, others)
                    others = self._by_name[name] = Namesakes()
                    others.add(first)
                cast(Namesakes, others).add(entry)
        POINT.set(point)
        if self._dead:
            self._bury()
        return entry

    def leave(self, entry: Entry) -> None:
        """Take *entry* out, whose agent lives on."""
        agent = entry()  # held, so that it cannot go meanwhile
        with self._lock:
            self._take_out_dead()
            if agent is not None and not entry.left:
                self._take_out(entry)
                entry.left = True
                self._dropped.pop(entry.name, None)
        if self._dead:
            self._bury()

    def find(self, name: str, *, where: str | None = None, point: Point | None = None) -> N:
        """Return the agent that *name* means at *point*, or at the caller's.

        Raises `UnknownAgent`, with the near names, and `AmbiguousAgent`.
        """
        found = self.look(name, point)
        if found is None:
            error = self._why_not(name, where)
            if isinstance(error, AmbiguousAgent):
                # Agents that nothing refers to but their own handlers live until the next collection.
                gc.collect()
                found = self.look(name, point)
            if found is None:
                raise error
        return found

    def look(self, name: str, point: Point | None = None) -> N | None:
        """Return what `find` returns, and None where it raises."""
        with self._lock:
            entered = self._by_name.get(name)
            found: Any = None
            if entered.__class__ is Entry:
                found = cast(Entry, entered)()
            elif entered is not None:
                namesakes = cast(Namesakes, entered)
                found = namesakes.made_before(POINT.get() if point is None else point)
                if found is None:
                    found = namesakes.of_a_module()
                if found is None:
                    living = [agent for entry in namesakes.entries() if (agent := entry())]
                    found = living[0] if len(living) == 1 else None
                    del living
        if self._dead:
            self._bury()
        return cast("N | None", found)

    def names(self) -> list[str]:
        """Return the names of the agents that exist, sorted."""
        with self._lock:
            self._take_out_dead()
            return sorted(self._by_name)

    def _why_not(self, name: str, where: str | None) -> Exception:
        with self._lock:
            self._take_out_dead()
            entered = self._by_name.get(name)
            places = (
                [e.made_at for e in entered.entries()] if isinstance(entered, Namesakes) else []
            )
            dropped = self._dropped.get(name)
            known = sorted(self._by_name)
        if len(places) > 1:
            return AmbiguousAgent(name, places, where)
        return UnknownAgent(name, known, where, None if dropped is None else _place(*dropped))

    # -- agents that have gone -----------------------------------------------------------------

    def _gone(self, entry: Any) -> None:
        """An agent has gone: in any thread, and perhaps within a call of this directory's."""
        if entry.left:
            return
        if not self._dead and self._lock.acquire(blocking=False):
            try:
                self._take_out(entry)
            finally:
                self._lock.release()
        else:
            self._dead.append(entry)
        if self._dead:
            self._bury()

    def _bury(self) -> None:
        # Who holds the lock looks again once it has given it back, so that none is forgotten.
        while self._dead and self._lock.acquire(blocking=False):
            try:
                self._take_out_dead()
            finally:
                self._lock.release()

    def _take_out_dead(self) -> None:
        while self._dead:
            self._take_out(self._dead.popleft())

    def _take_out(self, entry: Entry) -> None:
        name = entry.name
        entry.line.living -= 1
        entered = self._by_name[name]
        if entered.__class__ is Namesakes:
            namesakes = cast(Namesakes, entered)
            namesakes.remove(entry)
            if namesakes.count == 1:
                [self._by_name[name]] = namesakes.entries()
            return
        del self._by_name[name]
        dropped = self._dropped
        dropped[name] = (entry.code, entry.instruction)
        if len(dropped) > MOST_DROPPED:
            del dropped[next(iter(dropped))]


def _outside_of_constructors(agent: Any, frame: FrameType) -> FrameType:
    """Return the frame that makes *agent*, where *frame* is a constructor of a class of its own."""
    while frame.f_code.co_name == "__init__" and frame.f_back is not None:
        code = frame.f_code
        if not code.co_argcount or frame.f_locals.get(code.co_varnames[0]) is not agent:
            break
        frame = frame.f_back
    return frame


def _is_of_module(frame: FrameType) -> bool:
    # The body of a class is not the code of a module, though it runs like one.
    return frame.f_locals is frame.f_globals


def _place(code: CodeType, instruction: int) -> str:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return f"{code.co_filename}:{line}"
    return f"{code.co_filename}:{code.co_firstlineno}"


class FindFrom(Generic[N]):
    """`Directory.find` from one point, wherever it is called."""

    __slots__ = ("_directory", "_point")

    def __init__(self, directory: Directory[N], point: Point) -> None:
        self._directory = directory
        self._point = point

    def __call__(self, name: str, *, where: str | None = None) -> N:
        return self._directory.find(name, where=where, point=self._point)

    def registered(self, name: str) -> None:
        """Return None: what agents are made is not registered with anything."""
