"""Actors that tests start on other nodes: at the top of a module, since they go there by name."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from agenticaiframework.actors import Actor, ActorSystem, Ignore


class Far(Actor):
    """Does what it is told: a message is a word and what belongs to it."""

    def __init__(self, tag: Any = None, trap: bool = False, fails: str = "") -> None:
        super().__init__()
        self.tag = tag
        self.seen: list[Any] = []
        self._trap_at_start = trap
        self._fails = fails

    def on_start(self) -> None:
        self.trap_exit = self._trap_at_start
        if self._fails == "ignore":
            raise Ignore("not now")
        if self._fails:
            raise RuntimeError(self._fails)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case ("where",):
                return self.system.name
            case ("seen",):
                return list(self.seen)
            case ("tag",):
                return self.tag
            case ("raise", error):
                raise error
            case ("exit", reason):
                self.exit(reason)
            case ("link", ref):
                self.link(ref)
            case ("unlink", ref):
                self.unlink(ref)
            case ("monitor", ref):
                self.monitor(ref)
            case ("demonitor", ref):
                self.demonitor(ref)
            case ("tell", ref, what):
                ref.tell(what)
            case ("ask", ref, what):
                return await ref.request(what)
            case ("ref",):
                return self.actor_ref
            case ("sleep", seconds):
                await asyncio.sleep(seconds)
            case ("block", seconds):
                time.sleep(seconds)  # noqa: ASYNC251 - on purpose
            case ("register", name):
                await self.system.cluster.register(name, self.actor_ref)
            case ("write", number):
                note(self.tag, number)
            case ("spawn", name):
                return self.spawn(Far, name, link=False)
            case _:
                self.seen.append(message)
        return None


def note(path: str, number: int) -> None:
    """Write *number* to a file, where it is when the process is killed."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


class Wide(Far):
    """Has an answer that cannot travel."""

    async def on_receive(self, message: Any) -> Any:
        if message == "lambda":
            return lambda: None
        return await super().on_receive(message)


STATE: dict[str, list[Any]] = {}
"""What handlers of agents have noted, by a word of the test's."""


async def where(payload: Any) -> int:
    """Return the number of the process; if told to wait, note that, and go on once there is a file ``go``."""
    if payload == "wait":
        folder = Path(os.environ["FAR_NOTES"])
        note(str(folder / "waiting"), os.getpid())
        while not (folder / "go").exists():
            await asyncio.sleep(0.05)
    return os.getpid()


def beat() -> None:
    """Show that this incarnation is at work, from a thread, until the process ends."""
    folder = Path(os.environ["FAR_NOTES"])
    note_time(folder / f"began-{os.getpid()}")

    def go_on() -> None:
        while True:
            note_time(folder / f"beats-{os.getpid()}")
            time.sleep(0.01)

    threading.Thread(target=go_on, daemon=True).start()


def note_time(path: Path) -> None:
    """Write down when this is, by the clock that all processes of a machine share."""
    with path.open("a") as file:
        file.write(f"{time.monotonic()}\n")


async def look_up(name: Any) -> None:
    """Ask again and again who has *name* in the cluster, and note when that was answered."""
    cluster = ActorSystem.current().cluster
    while True:
        if await cluster.whereis(name) is not None:
            note_time(Path(os.environ["FAR_NOTES"]) / f"named-{os.getpid()}")
        await asyncio.sleep(0.01)


async def research(payload: Any) -> str:
    """Note the process in the folder `FAR_NOTES`, and find facts; the first time that takes long."""
    file = Path(os.environ["FAR_NOTES"]) / "researched"
    first = not file.exists()
    note(str(file), os.getpid())
    await asyncio.sleep(60 if first else 0)
    return "facts"


async def work(payload: Any) -> Any:
    """Answer with the payload and the name of the system that it was handled in."""
    match payload:
        case ("raise", error):
            raise error
        case ("sleep", seconds, key):
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                STATE.setdefault(key, []).append("cancelled")
                raise
        case _:
            pass
    return payload, ActorSystem.current().name


alive: dict[str, set[Any]] = {}
"""Where the incarnations of a child live, by its name."""


class Began:
    """Notes that an incarnation of a child has begun; `most` is how many there were at once."""

    most = 0

    def __call__(self, name: str) -> None:
        where = alive.setdefault(name, set())
        where.add(ActorSystem.current().name)
        Began.most = max(Began.most, len(where))

    def __reduce__(self) -> str:
        return "began"


began = Began()


def ended(name: str) -> None:
    """Note that the incarnation of this node has ended."""
    alive.setdefault(name, set()).discard(ActorSystem.current().name)


class Noting(Actor):
    """Notes what it is told, where the test finds it."""

    NOTED: dict[str, list[Any]] = {}

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def on_receive(self, message: Any) -> None:
        Noting.NOTED.setdefault(self.key, []).append(message)
