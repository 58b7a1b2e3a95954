"""One agent in a project file: what its fields may be, as far as that is known without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from agenticaiframework.actors import AgentDefinitionError, BadUsageLimits, read_usage_limits
from agenticaiframework.models import History
from agenticaiframework.models.providers.names import read_model_name
from agenticaiframework.models.sessions.history import check_history
from agenticaiframework.patterns import Definition

from .known_fields import LIMITS, SETTINGS, check_fields, check_names
from .output import read_output, read_output_type


class ToolEntry(Definition):
    """One tool: a function of Python's, named ``module:function``, or another agent of the file."""

    function: str | None = None
    agent: str | None = None
    name: str | None = None
    description: str | None = None
    requires_approval: bool | None = None
    timeout: float | None = Field(default=None, gt=0)
    """Seconds that one call may take."""
    retries: int | None = Field(default=None, ge=0)
    on_error: Literal["tell_model", "fail"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, value: object) -> object:
        if isinstance(value, str):
            return {"function" if ":" in value else "agent": value}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.function is None) == (self.agent is None):
            raise ValueError(
                "a tool is either a function or an agent of the file. "
                "For example: {function: my_tools:search, requires_approval: true}"
            )
        if self.function is not None:
            check_object(self.function, "tools: [my_tools:search]")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options of the tool: all that is given beside its function or agent."""
        return self.model_dump(exclude={"function", "agent"}, exclude_none=True)


class McpEntry(Definition):
    """One MCP server: a *command* that speaks over its standard streams, or a *url*.

    In texts ``${NAME}`` stands for a variable of the environment, for keys that are in no file.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict[str, str])
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = Field(default_factory=dict[str, str])
    tools: tuple[str, ...] | None = None
    """The server's tools that the agent may call; all, if it is left out."""
    prefix: str | None = None
    """Goes before the names of its tools."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds that it may take to start."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError(
                "a server has either a command or a url. "
                "For example: {command: python, args: [my_server.py]} or {url: http://localhost:8000/mcp}"
            )
        if self.url is not None and (self.args or self.env or self.cwd):
            raise ValueError("args, env and cwd belong to a command, not to a url")
        if self.command is not None and self.headers:
            raise ValueError("headers belong to a url, not to a command")
        return self


def _servers(value: object) -> object:
    # One server may stand there by itself; those of a list are told apart by their numbers.
    if isinstance(value, (list, tuple)):
        servers = cast("Sequence[object]", value)
        return {str(number): server for number, server in enumerate(servers, 1)}
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        alone = not McpEntry.model_fields.keys().isdisjoint(fields)
        return {"1": fields} if alone else fields
    return value


_TOOL: Final = ToolEntry.model_json_schema()
_SERVER: Final = McpEntry.model_json_schema()


class AgentEntry(Definition):
    """One agent: its model with instructions, or a Python object as its handler."""

    name: str | None = None
    """Its own name, where that differs from the one it has in the file."""
    description: str = ""
    model: str | None = None
    instructions: str | None = None
    handler: str | None = None
    """``package.module:function``, in the file's folder or in one of the project's ``packages``."""
    capabilities: tuple[str, ...] = ()
    concurrency: int | None = Field(default=None, ge=1)
    """How many requests it handles at once; see `Agent`."""
    output: Annotated[
        dict[str, Any] | None,
        PlainValidator(read_output),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
    ] = None
    """The fields of its answer; see `read_output`."""
    output_type: Annotated[
        str | dict[str, Any] | None,
        PlainValidator(read_output_type),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
    ] = None
    """The type of its answer, ``module:Class``, or a JSON schema."""
    tools: Annotated[
        tuple[ToolEntry, ...],
        WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, _TOOL]}}),
    ] = ()
    """``module:function`` each, or the name of another agent of the file, or a mapping with options."""
    mcp: Annotated[
        Mapping[str, McpEntry],
        BeforeValidator(_servers),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": _SERVER},
                    {"type": "array", "items": _SERVER},
                    _SERVER,
                ]
            }
        ),
    ] = Field(default_factory=dict[str, McpEntry])
    """The MCP servers whose tools it may call: one, a list, or a mapping of names."""
    model_settings: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    usage_limits: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    fallback_models: tuple[str, ...] = ()
    retries: int | Mapping[str, int] | None = None
    guardrails: tuple[str, ...] = ()
    """``module:function`` each."""
    history: str | Mapping[str, Any] | None = None
    """How its sessions are kept: fields of `History`, or ``module:object``."""

    also_known_as: ClassVar[Mapping[str, str]] = {"fallbacks": "fallback_models"}

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: str | None) -> str | None:
        return value if value is None else check_model_name(value)

    @field_validator("fallback_models")
    @classmethod
    def _check_fallbacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_model_name(name) for name in value)

    @field_validator("handler")
    @classmethod
    def _check_handler(cls, value: str | None) -> str | None:
        return value if value is None else check_object(value, "handler: my_agents:answer")

    @field_validator("guardrails")
    @classmethod
    def _check_guardrails(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_object(name, "guardrails: [my_checks:no_secrets]") for name in value)

    @field_validator("history")
    @classmethod
    def _check_history(cls, value: Any) -> Any:
        if isinstance(value, str):
            return check_object(value, "history: my_store:history")
        if value is not None:
            check_names(value, [field.name for field in fields(History)])
            try:
                check_history("", value)
            except AgentDefinitionError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("model_settings")
    @classmethod
    def _check_settings(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_fields(value, SETTINGS)
        return value

    @field_validator("usage_limits")
    @classmethod
    def _check_limits(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_fields(value, LIMITS)
        try:
            read_usage_limits("usage_limits", value, of_agent=True)
        except BadUsageLimits as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.model is None) == (self.handler is None):
            raise ValueError(
                "an agent has either a model (with instructions) or a handler. "
                "For example: {model: local, instructions: Classify the request}"
            )
        if self.handler is not None:
            if self.instructions or self.output:
                raise ValueError("instructions and output belong to a model, not to a handler")
            given = [name for name in OF_MODELS if getattr(self, name)]
            if given:
                raise ValueError(f"{' and '.join(given)} belong to a model, not to a handler")
        if self.output and self.output_type:
            raise ValueError("has both output and output_type; give it one of them")
        return self

    @property
    def tool_agents(self) -> tuple[str, ...]:
        """The agents of the file that are its tools."""
        return tuple(tool.agent for tool in self.tools if tool.agent is not None)


OF_MODELS = (
    *("output_type", "tools", "mcp", "model_settings", "usage_limits", "fallback_models"),
    *("retries", "guardrails", "history"),
)
"""Fields that belong to an agent with a model alone."""


def check_model_name(value: str) -> str:
    """Return *value*, the name of a model; raises ValueError with the forms that work."""
    try:
        read_model_name(value)
    except Exception as error:
        raise ValueError(str(error)) from None
    return value


def check_object(value: str, example: str) -> str:
    """Return *value*, which is written ``module:name``; raises ValueError with *example*."""
    module, colon, name = value.partition(":")
    named = all(part.isidentifier() for part in (*module.split("."), name))
    if not (colon and named):
        raise ValueError(f"{value!r} is not a function. For example: {example}")
    return value
