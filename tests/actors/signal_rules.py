"""Erlang's processes as a small pure model: links, monitors, trapping, exit signals.

Source: Erlang's reference manual, "Processes", and the behaviour of ``gen_server`` towards its parent.
A process is a number. Signals are delivered in the order they were sent until none is left.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

NORMAL, KILL, KILLED, NOPROC = "normal", "kill", "killed", "noproc"


@dataclass
class Process:
    parent: int | None = None
    trap: bool = False
    held: bool = False
    """Handles no message now."""
    links: set[int] = field(default_factory=set)
    watching: dict[int, int] = field(default_factory=dict)
    """Monitor to the process that it watches."""
    watched_by: dict[int, int] = field(default_factory=dict)
    """Monitor to the process that watches."""
    inbox: list[tuple[Any, ...]] = field(default_factory=list)
    seen: list[tuple[Any, ...]] = field(default_factory=list)
    reason: Any = None

    @property
    def alive(self) -> bool:
        return self.reason is None


class Processes:
    """All processes, and the signals between them that are under way."""

    def __init__(self) -> None:
        self.all: dict[int, Process] = {}
        self._monitors = 0
        self._signals: deque[tuple[Any, ...]] = deque()

    # -- what processes do ---------------------------------------------------------------------

    def spawn(self, parent: int | None = None) -> int:
        number = len(self.all)
        self.all[number] = Process(parent)
        if parent is not None:
            self.all[number].links.add(parent)
            self.all[parent].links.add(number)
        return number

    def link(self, a: int, b: int) -> None:
        if a == b:
            return
        self.all[a].links.add(b)
        if self.all[b].alive:
            self.all[b].links.add(a)
        else:
            self._send_exit(b, a, NOPROC, True)
        self._deliver()

    def unlink(self, a: int, b: int) -> None:
        if b in self.all[a].links:
            self.all[a].links.discard(b)
            self.all[b].links.discard(a)

    def monitor(self, a: int, b: int) -> int:
        self._monitors += 1
        number = self._monitors
        self.all[a].watching[number] = b
        if self.all[b].alive:
            self.all[b].watched_by[number] = a
        else:
            self._signals.append(("down", number, b, a, NOPROC))
        self._deliver()
        return number

    def demonitor(self, a: int, number: int, flush: bool) -> None:
        target = self.all[a].watching.pop(number, None)
        if target is not None:
            self.all[target].watched_by.pop(number, None)
        if flush:
            self.all[a].inbox = [m for m in self.all[a].inbox if m[-1] != number or m[0] != "down"]

    def set_trap(self, a: int, trap: bool) -> None:
        self.all[a].trap = trap

    def exit(self, a: int, reason: Any) -> None:
        """``exit/1``, or a crash with *reason*."""
        self._die(a, reason)
        self._deliver()

    def send_exit(self, a: int | None, b: int, reason: Any) -> None:
        """``exit/2``; *a* None is somebody outside."""
        self._send_exit(a, b, reason, False)
        self._deliver()

    def hold(self, a: int, held: bool) -> None:
        self.all[a].held = held
        self._handle(a)

    # -- what happens to them ------------------------------------------------------------------

    def _send_exit(self, a: int | None, b: int, reason: Any, via_link: bool) -> None:
        self._signals.append(("exit", a, b, reason, via_link))

    def _deliver(self) -> None:
        while self._signals:
            kind, *signal = self._signals.popleft()
            if kind == "down":
                self._receive_down(*signal)
            else:
                self._receive_exit(*signal)

    def _receive_down(self, number: int, target: int, watcher: int, reason: Any) -> None:
        process = self.all[watcher]
        if process.alive and process.watching.pop(number, None) is not None:
            self._put(watcher, ("down", target, reason, number))

    def _receive_exit(self, a: int | None, b: int, reason: Any, via_link: bool) -> None:
        process = self.all[b]
        if not process.alive:
            return
        if via_link:
            if a not in process.links:
                return
            process.links.discard(a)
        elif reason == KILL:
            self._die(b, KILLED)
            return
        if process.trap:
            if a is not None and process.parent == a:
                self._die(b, reason)
            else:
                self._put(b, ("exit", a, reason))
        elif reason != NORMAL or a == b:
            self._die(b, reason)

    def _put(self, a: int, message: tuple[Any, ...]) -> None:
        self.all[a].inbox.append(message)
        self._handle(a)

    def _handle(self, a: int) -> None:
        process = self.all[a]
        if not process.held:
            process.seen += process.inbox
            process.inbox = []

    def _die(self, a: int, reason: Any) -> None:
        process = self.all[a]
        process.reason = reason
        process.inbox = []
        links, process.links = process.links, set()
        for linked in sorted(links):
            self._send_exit(a, linked, reason, True)
        for number, watcher in process.watched_by.items():
            self._signals.append(("down", number, a, watcher, reason))
        process.watched_by = {}
        for number, target in process.watching.items():
            self.all[target].watched_by.pop(number, None)
        process.watching = {}
