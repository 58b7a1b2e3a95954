"""Actors and handlers for child processes: at the top of a module, as they have to be."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from agenticaiframework.actors import Actor, RequestRejected, agent_context


class Unpicklable:
    """Holds a lock, which cannot leave its process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Stubborn(Exception):
    """Can be pickled, but not made again from what was pickled."""

    def __init__(self, one: str, *, other: str) -> None:
        super().__init__(f"{one} {other}")


class BadInput(RequestRejected):
    """A refusal of one request, with a class of its own."""

    def __init__(self, field: str, *, lock: Any = None) -> None:
        super().__init__(f"{field} is missing")
        self.field = field
        self.lock = lock


class Overloaded(Exception):
    """A client's error that cannot be made again from what was pickled."""

    def __init__(self, message: str, *, response: Any) -> None:
        super().__init__(message)
        self.response = response


class Response:
    """What a client keeps of a refusal; it cannot leave its process."""

    status_code = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "3"}

    def __init__(self) -> None:
        self.lock = threading.Lock()


def refuse(payload: str) -> str:
    """Fail in a way that the agent expects, or not."""
    match payload:
        case "rejected":
            raise BadInput("name")
        case "locked":
            raise BadInput("name", lock=threading.Lock())
        case "declared":
            raise ConnectionResetError("gone")
        case "stubborn":
            raise Stubborn("one", other="two")
        case "group":
            raise ExceptionGroup("both", [BadInput("a", lock=threading.Lock()), ConnectionError()])
        case "mixed":
            raise ExceptionGroup("both", [BadInput("a"), TypeError("a bug")])
        case "overloaded":
            raise RuntimeError("no answer") from Overloaded("busy", response=Response())
        case "exit":
            sys.exit(3)
        case "bug":
            raise TypeError("a bug")
        case _:
            return payload


class Child(Actor):
    """Does what it is told, in a child process."""

    dispatcher = "process"

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.count = 0
        self.log: list[Any] = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def on_start(self) -> None:
        self.started_in = os.getpid()

    def on_receive(self, message: Any) -> Any:
        self.count += 1
        what, *arguments = message if isinstance(message, tuple) else (message,)
        return getattr(self, f"do_{what}")(*arguments)

    def do_pid(self) -> int:
        return os.getpid()

    def do_count(self) -> int:
        return self.count

    def do_note(self, what: Any) -> list[Any]:
        self.log.append(what)
        return self.log

    def do_started_in(self) -> int:
        return self.started_in

    def do_echo(self, value: Any) -> Any:
        return value

    def do_sleep(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    def do_touch_and_wait(self, begun: str, go_on: str) -> str:
        Path(begun).touch()
        until = time.monotonic() + 120
        while not Path(go_on).exists() and time.monotonic() < until:
            time.sleep(0.001)
        return "waited"

    def do_burn(self, begun: str, enough: str) -> str:
        Path(begun).touch()
        until = time.monotonic() + 120
        while not Path(enough).exists() and time.monotonic() < until:
            sum(range(10_000))
        return "burnt"

    async def do_async(self, value: Any) -> Any:
        await asyncio.sleep(0.001)
        return value

    def do_fail(self, text: str) -> None:
        self.log.append("before the failure")
        raise ValueError(text)

    def do_fail_stubbornly(self) -> None:
        raise Stubborn("a", other="b")

    def do_unpicklable(self) -> Any:
        return threading.Lock()

    def do_keep_unpicklable(self) -> None:
        self.kept = threading.Lock()

    def do_die(self, how: str) -> None:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif how == "exit 0":
            os._exit(0)
        elif how == "exit 7":
            os._exit(7)
        elif how == "sys.exit":
            sys.exit(5)
        time.sleep(60)

    def do_stop(self, reason: Any) -> None:
        self.exit(reason)

    def do_use(self, what: str) -> Any:
        return {
            "system": lambda: self.system.clock(),
            "link": lambda: self.link(self.actor_ref),
            "spawn": lambda: self.spawn(Child),
            "tell": lambda: self.actor_ref.tell("x"),
            "timer": lambda: self.send_after(1, "x"),
        }[what]()

    def do_name(self) -> tuple[Any, str]:
        return self.actor_ref.name, self.actor_ref.label

    def method(self, number: int) -> int:
        self.count += number
        return self.count


class Turned(Child):
    """Starts with another behaviour than `on_receive`."""

    def on_start(self) -> None:
        self.become(self.other)

    def other(self, message: Any) -> Any:
        return ("other", message, os.getpid())


class Slotted(Actor):
    """Keeps its state in slots."""

    __slots__ = ("__private", "total")
    dispatcher = "process"

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.__private = 0

    def on_receive(self, message: Any) -> Any:
        self.total += message
        self.__private += 1
        return self.total, self.__private


class OneSlot(Slotted):
    __slots__ = "only"

    def on_receive(self, message: Any) -> Any:
        self.only = getattr(self, "only", 0) + message
        return self.only


def square(payload: int) -> tuple[int, int]:
    return payload * payload, os.getpid()


async def square_async(payload: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return payload * payload, os.getpid()


def context(_payload: Any) -> dict[str, Any]:
    return dict(agent_context())


def die(_payload: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(payload: float) -> str:
    time.sleep(payload)
    return "slept"


def mark(path: str) -> None:
    """Make a file, again and again, for as long as this process lives."""
    for number in range(10_000):
        with open(path, "w") as file:
            file.write(str(number))
        time.sleep(0.01)


def fail(payload: Any) -> None:
    raise KeyError(payload)


def slow_pid(payload: float) -> int:
    """Return the number of the process, after *payload* seconds."""
    time.sleep(payload)
    return os.getpid()
