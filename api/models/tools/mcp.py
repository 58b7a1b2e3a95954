"""MCP servers as tools: how one is reached, said before any MCP library is imported."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from agenticaiframework.actors import AgenticError, MissingExtra, message_of, near_names, shown

from .declared import check_tool_name
from .errors import ToolDefinitionError

if TYPE_CHECKING:
    from pydantic_ai.mcp import MCPToolset

START_TIMEOUT_S: Final = 30.0
"""How long a server may take to answer first: one in Python imports for seconds on a busy machine."""

OPTIONS: Final = frozenset(
    {
        *("auth", "cache_prompts", "cache_resources", "cache_tools", "client_info"),
        *(
            "elicitation_handler",
            "http_client",
            "id",
            "include_instructions",
            "include_return_schema",
        ),
        *("log_handler", "log_level", "max_retries", "message_handler", "prefer_tasks"),
        *("process_tool_call", "progress_handler", "read_timeout", "roots", "sampling_handler"),
        *("sampling_model", "tool_error_behavior", "verify"),
    }
)
"""What else pydantic-ai's `MCPToolset` takes: known here, because it is not imported before it is needed."""

_LAUNCHER: Final = Path(__file__).with_name("launch.py")


class McpServerUnavailable(AgenticError, ConnectionError):
    """An MCP server could not be started or reached, or was lost while it was called.

    The next call starts or reaches it again. *server* is how it is called, *said* the last of what it
    wrote to its standard error.
    """

    expected = True

    def __init__(self, server: str, what: str, said: str = "") -> None:
        text = f"The MCP server {server} {what}"
        super().__init__(f"{text}. It said last: {said}" if said else text)
        self.server = server
        self.said = said


@dataclass(frozen=True, eq=False)
class McpServer:
    """An MCP server whose tools an agent may call: a *command*, or the *url* of one that runs elsewhere.

    ``McpServer("uvx", "mcp-server-time")``, ``McpServer(url="https://host/mcp", headers={...})``. A
    *command* is started, with its arguments (*args*), by the first request of the agent, with *env* added to its environment and in
    the folder *cwd*, and ends with it; *headers* are sent with each request to a *url*. *prefix* goes before the
    names of its tools; *tools* are the only ones that the model sees, if given. *timeout* is how long
    it may take to start, in seconds. *name* is how it is called in errors, logs and records, for one whose
    url or arguments hold a key; left out, those are its name. The other words are those of MCP's
    configuration files.
    """

    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    cwd: str | Path | None = None
    url: str | None = None
    headers: Mapping[str, str] | None = None
    prefix: str | None = None
    tools: Sequence[str] | None = None
    timeout: float = START_TIMEOUT_S
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else `pydantic_ai.mcp.MCPToolset` takes (``id``, ``auth``, ``include_instructions``, ...)."""

    def __init__(
        self,
        command: str | None = None,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        prefix: str | None = None,
        tools: Sequence[str] | None = None,
        timeout: float = START_TIMEOUT_S,
        name: str | None = None,
        **options: Any,
    ) -> None:
        given = {
            "command": command,
            "args": _arguments(args, options),
            "env": env,
            "cwd": cwd,
            "url": url,
            "headers": headers,
            "prefix": prefix,
            "tools": tools if tools is None or isinstance(tools, str) else tuple(tools),
            "timeout": timeout,
            "name": name,
            "options": options,
        }
        for each, value in given.items():
            object.__setattr__(self, each, value)
        self._check()

    def _check(self) -> None:
        form = "McpServer('uvx', 'mcp-server-time') or McpServer(url='https://host/mcp')"
        for name in self.options:
            if name not in OPTIONS:
                known = (*OPTIONS, *(each.name for each in fields(McpServer)))
                raise ToolDefinitionError(
                    f"McpServer has no parameter {name!r}. {near_names(name, known)}"
                )
        if (self.command is None) is (self.url is None):
            raise ToolDefinitionError(
                f"an MCP server has a command or a url, and one of them only: {form}"
            )
        if self.url is not None and (self.args or self.env or self.cwd):
            raise ToolDefinitionError(
                f"args, env and cwd are for a command, and this MCP server has the url {self.url!r}"
            )
        if self.command is not None and self.headers:
            raise ToolDefinitionError(
                f"headers are for a url, and this MCP server has the command {self.command!r}"
            )
        for part in (self.command, *self.args, self.url):
            if part is not None and not isinstance(cast(Any, part), str):
                raise ToolDefinitionError(
                    f"an MCP server is given in texts, and {shown(part, 60)} is none: {form}"
                )
        if self.command is not None and " " in self.command and not Path(self.command).exists():
            first, *others = self.command.split()
            rest = ", ".join(repr(each) for each in (first, *others))
            raise ToolDefinitionError(
                f"the command of an MCP server and its arguments are texts of their own: McpServer({rest})"
            )
        self._check_values()
        if self.prefix is not None:
            check_tool_name(self.prefix, "the prefix of an MCP server")

    def _check_values(self) -> None:
        tools, timeout = cast(Any, self.tools), cast(Any, self.timeout)
        if tools is not None and not (
            isinstance(tools, tuple) and all(isinstance(each, str) for each in cast(Any, tools))
        ):
            raise ToolDefinitionError(
                f"tools of an MCP server are a list of names, not {shown(tools, 60)}: "
                "McpServer('uvx', 'acme-orders', tools=['find', 'refund'])"
            )
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise ToolDefinitionError(
                f"the timeout of an MCP server is a number of seconds above 0, not {shown(timeout, 60)}"
            )
        for what in ("env", "headers"):
            given: Any = getattr(self, what)
            if given is not None and not (
                isinstance(given, Mapping)
                and all(
                    isinstance(each, str)
                    for pair in cast("Mapping[Any, Any]", given).items()
                    for each in pair
                )
            ):
                # Not shown: keys of services stand in it.
                raise ToolDefinitionError(f"{what} of an MCP server is a mapping of texts to texts")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ToolDefinitionError(
                f"the url of an MCP server begins with http:// or https://, and {shown(self.label, 80)} "
                "does not"
            )

    def __repr__(self) -> str:
        return f"McpServer({self.label})"

    @property
    def label(self) -> str:
        """How it is called in errors and records."""
        if self.name is not None:
            return self.name
        if self.url is not None:
            return self.url
        return " ".join((str(self.command), *self.args))

    def check(self) -> None:
        """Raise `MissingExtra` where the library that speaks MCP is not installed."""
        if importlib.util.find_spec("fastmcp") is None or importlib.util.find_spec("mcp") is None:
            raise MissingExtra(f"The MCP server {self.label}", "mcp")

    def make(self, log: TextIO | None, *, fails: bool = False) -> MCPToolset[Any]:
        """Return a toolset of pydantic-ai for it.

        *log* takes what a command writes to its standard error. With *fails* an error of a tool is
        raised; else the model is told.
        """
        try:
            from fastmcp.client.transports import StdioTransport
            from pydantic_ai.mcp import MCPToolset
        except ImportError as error:
            raise MissingExtra(f"The MCP server {self.label}", "mcp") from error
        options: dict[str, Any] = {
            "init_timeout": self.timeout,
            "tool_error_behavior": "error" if fails else "failed",
            **self.options,
        }
        if self.url is not None:
            headers = None if self.headers is None else dict(self.headers)
            return MCPToolset(self.url, headers=headers, **options)
        command, args = str(self.command), list(self.args)
        if log is not None and os.name == "posix":
            # So that it can be ended in any case, and cannot outlive this process.
            command, args = sys.executable, ["-I", "-S", str(_LAUNCHER), command, *args]
        transport = StdioTransport(
            command,
            args,
            env=None if self.env is None else dict(self.env),
            cwd=None if self.cwd is None else str(self.cwd),
            log_file=log,
        )
        return MCPToolset(transport, **options)


def _arguments(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments, also as the list ``args=[...]`` of a configuration file."""
    listed = options.pop("args", None)
    if listed is None:
        return args
    if args or isinstance(listed, str) or not isinstance(listed, Sequence):
        raise ToolDefinitionError(
            f"args of an MCP server are a list of texts, given once: args=[...], not {shown(listed, 60)}"
        )
    return tuple(cast("Sequence[Any]", listed))


def is_mcp_source(what: Any) -> bool:
    """Tell whether *what* is a client, a transport or a server of fastmcp, which pydantic-ai wraps."""
    if "fastmcp" not in sys.modules:
        return False
    names = {(base.__module__.partition(".")[0], base.__name__) for base in type(what).__mro__}
    return not names.isdisjoint(
        {("fastmcp", "Client"), ("fastmcp", "FastMCP"), ("fastmcp", "ClientTransport")}
    )


def reason_of(error: BaseException) -> str:
    """Return what *error* says, or its class where it says nothing."""
    return message_of(error) or type(error).__name__


__all__ = ["McpServer", "McpServerUnavailable", "is_mcp_source", "reason_of"]
