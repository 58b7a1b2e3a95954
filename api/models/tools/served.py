"""The tools of an MCP server that lives with its agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TextIO, cast

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.messages import InstructionPart
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool

from agenticaiframework.actors import ActorRef, ActorSystem, causes_of

from .keeper import Connection, keepers_of
from .leaves import mcp_leaves
from .mcp import McpServer, McpServerUnavailable, reason_of
from .scope import HOLDER

CONNECTION_CLOSED: Final = -32000
"""MCP's code for a request whose connection has ended."""


class FreshServer:
    """A server that is said as data: each start makes its toolset anew."""

    def __init__(self, server: McpServer, fails: bool) -> None:
        self.label = server.label
        self.starts_process = server.command is not None
        self._server = server
        self._fails = fails

    def make(self, log: TextIO | None, /) -> AbstractToolset[Any]:
        """Return the toolset to connect."""
        server = self._server
        toolset: AbstractToolset[Any] = server.make(log, fails=self._fails)
        if server.tools is not None:
            wanted = frozenset(server.tools)
            toolset = toolset.filtered(lambda _, tool: tool.name in wanted)
        return toolset if server.prefix is None else toolset.prefixed(server.prefix)

    async def close(self, toolset: AbstractToolset[Any], /) -> None:
        """Close the clients in *toolset*: leaving it keeps a process for the next who enters it."""
        await _close_clients(toolset)


class GivenServer:
    """A toolset of pydantic-ai that talks to MCP servers: it is one server, wherever it is given."""

    starts_process = False

    def __init__(self, given: Any, toolset: AbstractToolset[Any]) -> None:
        self.given = given
        self.label = ", ".join(map(_label, mcp_leaves(toolset)))
        self.toolset = toolset

    def make(self, log: TextIO | None, /) -> AbstractToolset[Any]:
        """Return the toolset to connect."""
        return self.toolset

    async def close(self, toolset: AbstractToolset[Any], /) -> None:
        """Close the clients in *toolset*: leaving it keeps a process for the next who enters it."""
        await _close_clients(toolset)


class KeptServers(AbstractCapability[Any]):
    """Lets the MCP servers of an agent of pydantic-ai live with the agent of ours that wraps it.

    pydantic-ai by itself enters them for each run, and leaves their processes behind.
    """

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """Return *toolset* with its servers held by their keepers."""
        return toolset.visit_and_replace(_served)


def _served(leaf: AbstractToolset[Any]) -> AbstractToolset[Any]:
    is_server = mcp_leaves(leaf) == [leaf]
    return ServedToolset(id(leaf), GivenServer(leaf, leaf)) if is_server else leaf


def _label(leaf: Any) -> str:
    transport = leaf.client.transport
    command = getattr(transport, "command", None)
    if command is not None:
        return " ".join((str(command), *map(str, transport.args)))
    return str(getattr(transport, "url", None) or leaf.id or transport)


async def _close_clients(toolset: AbstractToolset[Any]) -> None:
    for leaf in mcp_leaves(toolset):
        client: Any = leaf.client
        try:
            await client.close()
        finally:
            # Where the session has failed, closing the client may not come so far.
            await client.transport.close()


class ServedToolset(AbstractToolset[Any]):
    """The tools of a server whose connection is held by its keeper. *key* tells servers apart."""

    def __init__(self, key: Any, source: FreshServer | GivenServer) -> None:
        self._key = key
        self._source = source

    @property
    def id(self) -> str | None:
        return None

    @property
    def label(self) -> str:
        return f"the MCP server {self._source.label}"

    @property
    def tool_name_conflict_hint(self) -> str:
        return "Give the server a prefix: McpServer(..., prefix='...'), or toolset.prefixed('...')."

    async def open(self, holder: ActorRef[Any], system: ActorSystem) -> Connection:
        """Return the connection, started for *holder* if it is not there."""
        return await keepers_of(system).connection(self._key, self._source, holder)

    async def for_run(self, ctx: RunContext[Any]) -> AbstractToolset[Any]:
        """Return what one run calls: the kept server, or where no actor runs, one for this run alone."""
        source = self._source
        if isinstance(source, GivenServer):
            own = await source.toolset.for_run(ctx)
            if mcp_leaves(own) != mcp_leaves(source.toolset):
                return own  # each run has a session of its own, as its user
        holder = HOLDER.get()
        if holder is None:
            return _OwnServer(self._source)
        return _RunOnServer(self, holder, await self.open(holder, ActorSystem.current()))

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        return {}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        raise NotImplementedError("a run calls what for_run returns")


class _RunOnServer(AbstractToolset[Any]):
    """The tools of a kept server for one run; what is lost in between is opened again."""

    def __init__(
        self, served: ServedToolset, holder: ActorRef[Any], connection: Connection
    ) -> None:
        self._served = served
        self._holder = holder
        self._connection = connection

    @property
    def id(self) -> str | None:
        return None

    @property
    def label(self) -> str:
        return self._served.label

    @property
    def tool_name_conflict_hint(self) -> str:
        return self._served.tool_name_conflict_hint

    async def _toolset(self) -> AbstractToolset[Any]:
        if self._connection.lost:
            self._connection = await self._served.open(self._holder, ActorSystem.current())
        return self._connection.ready.result()

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        try:
            return await (await self._toolset()).get_tools(ctx)
        except Exception as error:
            if not is_lost(error):
                raise
        # Nothing is done twice by listing again.
        self._connection.lose()
        try:
            return await (await self._toolset()).get_tools(ctx)
        except Exception as error:
            if is_lost(error):
                raise self._lost(error) from error
            raise

    async def get_instructions(
        self, ctx: RunContext[Any]
    ) -> str | InstructionPart | Sequence[str | InstructionPart] | None:
        return await (await self._toolset()).get_instructions(ctx)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        try:
            return await (await self._toolset()).call_tool(name, tool_args, ctx, tool)
        except Exception as error:
            if is_lost(error):
                # It may have done what it was called for: whether to call again is the model's to say.
                raise self._lost(error) from error
            raise

    def _lost(self, error: Exception) -> McpServerUnavailable:
        self._connection.lose()
        if isinstance(error, McpServerUnavailable):
            return error
        return McpServerUnavailable(
            self._served.label.removeprefix("the MCP server "),
            f"was lost during the call ({reason_of(error)}); the next call starts or reaches it again",
            self._connection.said,
        )


def is_lost(error: BaseException) -> bool:
    """Tell whether *error* says that the server is gone, and not how it answered."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_lost, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    chain = tuple(causes_of(error))
    codes = [getattr(getattr(each, "error", None), "code", None) for each in chain]
    if CONNECTION_CLOSED in codes:
        return True
    if any(_is_connection_error(each) for each in chain):
        return True
    if isinstance(error, (ModelRetry, ToolFailed)):
        return False  # the server's own words
    return any(
        "ession task completed" in str(each) or "closed unexpectedly" in str(each) for each in chain
    )


def _is_connection_error(error: BaseException) -> bool:
    if isinstance(error, (ConnectionError, EOFError)):
        return True
    return any(
        (base.__module__.partition(".")[0], base.__name__)
        in {
            ("anyio", "ClosedResourceError"),
            ("anyio", "BrokenResourceError"),
            ("anyio", "EndOfStream"),
            ("httpx", "TransportError"),
            ("httpx2", "TransportError"),
        }
        for base in type(error).__mro__
    )


class _OwnServer(AbstractToolset[Any]):
    """A server for one run, where no actor of a system could keep it: started and ended with the run."""

    def __init__(self, source: FreshServer | GivenServer) -> None:
        self._source = source
        self._toolset = source.make(None)

    @property
    def id(self) -> str | None:
        return None

    @property
    def label(self) -> str:
        return f"the MCP server {self._source.label}"

    async def __aenter__(self) -> _OwnServer:
        await self._toolset.__aenter__()
        return self

    async def __aexit__(self, *args: Any) -> None:
        try:
            await self._toolset.__aexit__(*args)
        finally:
            await self._source.close(self._toolset)

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        return await self._toolset.get_tools(ctx)

    async def get_instructions(
        self, ctx: RunContext[Any]
    ) -> str | InstructionPart | Sequence[str | InstructionPart] | None:
        return await self._toolset.get_instructions(ctx)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        return await self._toolset.call_tool(name, tool_args, ctx, tool)


__all__ = ["FreshServer", "GivenServer", "KeptServers", "ServedToolset", "is_lost"]
