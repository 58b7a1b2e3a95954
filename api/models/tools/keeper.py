"""The life of an MCP server: an actor that starts it, holds its connection, and ends it.

There is one for each server in a system. It watches the agents that the server is for: with the last of
them it ends, however that one ended, and the server with it. The next incarnation of an agent has the
server started anew.

The connection is entered and left in one task, as anyio wants it, and the task belongs to the actor.
Leaving it in the handler of the request that came last lost: that may be cancelled or left behind, and
the server with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Down,
    MissingExtra,
)

from .mcp import McpServerUnavailable, reason_of
from .output import ServerOutput

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset

CLOSE_TIMEOUT_S: Final = 10.0
"""How long a connection may take to close: the library asks, terminates and kills within seven seconds."""


class ServerSource(Protocol):
    """What a keeper starts: made for each start, or always the same."""

    @property
    def label(self) -> str:
        """How the server is called in errors and records."""
        ...

    @property
    def starts_process(self) -> bool:
        """Whether `make` starts a process that writes to its *log*."""
        ...

    def make(self, log: TextIO | None, /) -> AbstractToolset[Any]:
        """Return the toolset to connect."""
        ...

    async def close(self, toolset: AbstractToolset[Any], /) -> None:
        """Close what *toolset* keeps open after it was left."""
        ...


class Connection:
    """One connection to a server, from its start to its end. Owned by the loop's thread."""

    def __init__(self, source: ServerSource, system: ActorSystem) -> None:
        self._source = source
        self._log = system.log
        self._ending = asyncio.Event()
        self.lost = False
        """Whether it is of no use any more."""
        self._output: ServerOutput | None = None
        if source.starts_process:
            try:
                self._output = ServerOutput(source.label, system, self.lose)
            except NotImplementedError:
                pass  # a loop that watches no pipes: the server writes where this process does
        self.ready: asyncio.Future[AbstractToolset[Any]] = system.loop.create_future()
        self.task = asyncio.create_task(self._hold(), name=f"mcp {source.label}")

    @property
    def said(self) -> str:
        """The last of what the server wrote to its standard error."""
        return "" if self._output is None else self._output.last.strip()

    def lose(self) -> None:
        """The server is gone, or does not answer as it should: the next call needs another."""
        self.lost = True
        self._ending.set()

    def look(self) -> None:
        """Notice a server that has ended by now."""
        if self._output is not None:
            self._output.look()

    async def _hold(self) -> None:
        toolset: AbstractToolset[Any] | None = None
        output = self._output
        try:
            toolset = self._source.make(None if output is None else output.file)
            async with toolset:
                if output is not None:
                    output.started()
                self.ready.set_result(toolset)
                await self._ending.wait()
        except Exception as error:
            self._failed(error)
        finally:
            self.lost = True
            if not self.ready.done():
                self.ready.cancel()
            try:
                if toolset is not None:
                    await self._source.close(toolset)
            except Exception as error:
                self._log.trace("{} was closed with an error: {}", self._source.label, error)
            finally:
                self.kill()  # nothing, if it has ended as it should
                if output is not None:
                    output.close()

    def _failed(self, error: Exception) -> None:
        if self.ready.done():
            return  # it went while it was left, or was lost: the calls have said so
        if not isinstance(error, MissingExtra):
            cause = error
            error = McpServerUnavailable(
                self._source.label,
                f"could not be started or reached: {reason_of(cause)}",
                self.said,
            )
            error.__cause__ = cause
        self.ready.set_exception(error)
        self.ready.exception()  # those who waited for it may all have gone, as after a timeout

    def kill(self) -> None:
        """End the server's process at once, if it is known."""
        if self._output is not None:
            self._output.kill()

    async def close(self, *, within_s: float = CLOSE_TIMEOUT_S) -> None:
        """Leave the connection and wait until that is done; after *within_s* the server is killed."""
        self.lose()
        done, _ = await asyncio.wait({self.task}, timeout=within_s)
        if not done:
            self.kill()
            done, _ = await asyncio.wait({self.task}, timeout=1.0)
        if not done:
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=1.0)


@dataclass(frozen=True, slots=True)
class Need:
    """Asked of a keeper: the connection, started if it is not there. *holder* is the actor that it is for."""

    holder: ActorRef[Any]


class McpKeeper(Actor):
    """Starts a server for the agents that ask for it, and ends it with the last of them."""

    def __init__(self, source: ServerSource, open_: set[Connection]) -> None:
        super().__init__()
        self._source = source
        self._open = open_
        self._connection: Connection | None = None
        self._holders: set[ActorRef[Any]] = set()

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Need):
            if message.holder not in self._holders:
                self._holders.add(message.holder)
                self.monitor(message.holder)
            return await self._connected()
        if isinstance(message, Down):
            self._holders.discard(message.ref)
            if not self._holders:
                self.stop()
        return None

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None:
            connection.look()
        if connection is not None and connection.lost:
            await connection.close()
            connection = self._connection = None
        if connection is None:
            connection = self._connection = Connection(self._source, self.system)
            self._open.add(connection)
            connection.task.add_done_callback(lambda _: self._open.discard(connection))
        try:
            await asyncio.shield(connection.ready)
        except BaseException:
            self._connection = None
            await connection.close()
            raise
        return connection

    async def on_stop(self) -> None:  # type: ignore[override]
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class Keepers:
    """The keepers of one system, by what they keep. Owned by its loop's thread."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._keepers: dict[Any, ActorRef[Any]] = {}
        self._open: set[Connection] = set()
        """All that has been opened and is not closed. Written by the keepers."""
        system.at_stop(self._close_rest)

    async def connection(self, key: Any, source: ServerSource, holder: ActorRef[Any]) -> Connection:
        """Return the connection to the server of *key*, which is held for *holder* from now on."""
        while True:
            keeper = self._keepers.get(key)
            if keeper is not None and not keeper.is_alive():
                await self._system.wait_ended(keeper, CLOSE_TIMEOUT_S)
                if self._keepers.get(key) is keeper:
                    del self._keepers[key]  # whether it could end or not
                continue
            if keeper is None:
                self._keepers = {k: each for k, each in self._keepers.items() if not each.ended}
                keeper = self._system.start(
                    McpKeeper, source, self._open, _name=f"mcp {source.label}"
                )
                self._keepers[key] = keeper
            try:
                connection: Connection = await keeper.request(Need(holder))
            except ActorDied:
                if holder.is_alive() and self._system.running:
                    continue  # its last holder went in between
                raise
            return connection

    async def _close_rest(self) -> None:
        """Close what its keeper had no time for when the system stopped: there is none left now."""
        for connection in self._open:
            connection.kill()
        await asyncio.gather(*(connection.close(within_s=0.5) for connection in list(self._open)))


_KEEPERS: Final = "agenticaiframework.models.tools.keepers"


def keepers_of(system: ActorSystem) -> Keepers:
    """Return the keepers of *system*."""
    keepers: Keepers | None = system.data.get(_KEEPERS)
    if keepers is None:
        keepers = system.data[_KEEPERS] = Keepers(system)
    return keepers


__all__ = ["Connection", "Keepers", "ServerSource", "keepers_of"]
