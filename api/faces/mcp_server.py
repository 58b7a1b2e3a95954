"""What is served as tools of an MCP server, whatever transport it is reached by."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from agenticaiframework.actors import AgenticError, ToolCall, WrongUse, shown
from agenticaiframework.patterns.engine import UnknownWorkflow

from .calls import Call, Calls
from .failures import CallFailed, Failure, FailureKind, failure_of
from .forms import Schema, as_object, as_text, object_schema
from .items import Begun, Item, Progress
from .mcp_runs import RunDesk
from .served import Served

Context = ServerRequestContext[Any, Any]

KEY: Final = "agenticaiframework/idempotency-key"
"""In the ``_meta`` of a call: the same key of the same caller means the same run."""

RUN: Final = "agenticaiframework/run-id"
"""In the ``_meta`` of a result: the id of the run behind the call."""

KIND: Final = "agenticaiframework/failure"
"""In the ``_meta`` of a result that is an error: of which kind it is."""

LOCAL: Final = "local"
"""The name of the caller on standard input."""

LEFT: Final = "agenticaiframework.left"
"""Where the scope of a request has what is called when its client leaves."""

_RESOURCE: Final = "run://{run_id}"
_REMEMBERED: Final = 1_000


class Leaving:
    """What is to be done when a client leaves before it has its answer."""

    def __init__(self) -> None:
        self._call: Call | None = None

    def waits_for(self, call: Call | None) -> None:
        """Remember what the client waits for."""
        self._call = call

    def left(self) -> None:
        """Leave that."""
        if self._call is not None:
            self._call.leave()


class McpTools:
    """Answers what clients ask of the tools. Owned by the loop that it is used on."""

    def __init__(
        self, name: str, served: Mapping[str, Served], calls: Callable[[], Calls], longest_s: float
    ) -> None:
        from agenticaiframework import __version__

        self._served = served
        self._calls = calls
        runs = [each.runs for each in served.values() if each.runs is not None]
        self._desk = RunDesk(runs, longest_s)
        taken = sorted(served.keys() & self._desk.tools.keys())
        if taken:
            raise WrongUse(
                f"{taken[0]!r} is the name of a tool that finds runs again: "
                "give the target another, serve(target, name='other')"
            )
        self._by_request: OrderedDict[tuple[str | None, Any], Call] = OrderedDict()
        """Durable calls, by session and request; those that were left stay for a while, because a client
        that cancels is heard of after its request has ended."""
        self.server: Server[Any] = Server(
            name,
            version=__version__,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )
        self.server.add_notification_handler(
            "notifications/cancelled", types.CancelledNotificationParams, self._cancelled
        )

    # -- tools ---------------------------------------------------------------------------------------

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        tools = [_tool(each) for each in self._served.values()]
        tools += [
            types.Tool(name=name, description=said, input_schema=dict(schema))
            for name, (said, schema) in self._desk.tools.items()
        ]
        return types.ListToolsResult(tools=tools)

    async def _call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        arguments = params.arguments or {}
        try:
            if params.name in self._desk.tools:
                found = await self._desk.call(params.name, arguments, _caller(ctx))
                return _answered(found, found, found.get("run_id"))
            served = self._served.get(params.name)
            if served is None:
                raise MCPError(
                    types.INVALID_PARAMS,
                    f"There is no tool {shown(params.name)}; there are {', '.join(self._names())}",
                )
            return await self._call(ctx, served, arguments)
        except (AgenticError, TimeoutError) as error:
            return _failed(failure_of(error))

    async def _call(
        self, ctx: Context, served: Served, arguments: Mapping[str, Any]
    ) -> types.CallToolResult:
        payload = served.form.read(arguments)
        call = self._calls().begin(served, payload, _caller(ctx), key=_key(ctx))
        place = (_session(ctx), ctx.request_id)
        if served.durable:
            self._remember(place, call)
        leaving = None if ctx.request is None else ctx.request.scope.get(LEFT)
        if leaving is not None:
            leaving.waits_for(call)
        told = 0.0
        async with call:
            async for item in call.follow():
                said = _told(item)
                if said is not None:
                    message, done, total = said
                    # It has to grow with each message; the ends of steps alone are whole numbers.
                    told = float(done) if done > told else told + (int(told) + 1 - told) / 2
                    await ctx.session.report_progress(told, total, message)
            output = await call.wait()
        self._by_request.pop(place, None)
        if served.durable:
            return _answered(output, {"run_id": call.run_id, "output": output}, call.run_id)
        return _answered(output, as_object(output), call.run_id)

    def _names(self) -> list[str]:
        return [*self._served, *self._desk.tools]

    # -- cancelling ------------------------------------------------------------------------------------

    def _remember(self, place: tuple[str | None, Any], call: Call) -> None:
        self._by_request[place] = call
        while len(self._by_request) > _REMEMBERED:
            self._by_request.popitem(last=False)

    async def _cancelled(self, ctx: Context, params: types.CancelledNotificationParams) -> None:
        # What is not durable has ended with its request.
        call = self._by_request.pop((_session(ctx), params.request_id), None)
        if call is not None:
            call.cancel(params.reason or "cancelled by its caller")

    # -- resources -------------------------------------------------------------------------------------

    async def _list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[])

    async def _list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        if not self._desk.tools:
            return types.ListResourceTemplatesResult(resource_templates=[])
        template = types.ResourceTemplate(
            name="run",
            uri_template=_RESOURCE,
            description="Where a run stands, and its output once there is one.",
            mime_type="application/json",
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def _read_resource(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        run_id = uri.removeprefix("run://")
        try:
            if run_id == uri:
                raise UnknownWorkflow(uri)
            found = await self._desk.get(run_id, _caller(ctx))
        except (AgenticError, TimeoutError) as error:
            raise MCPError(types.INVALID_PARAMS, failure_of(error).message) from None
        text = json.dumps(found, ensure_ascii=False)
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[contents])


def _tool(served: Served) -> types.Tool:
    output: Schema | None = served.output_schema
    if served.durable:
        answer = {} if output is None else dict(output)
        definitions = answer.pop("$defs", None)
        known = {"run_id": {"type": "string"}, "output": _unwrapped(answer)}
        output = dict(object_schema(known, ["run_id", "output"], more=False))
        if definitions is not None:
            output["$defs"] = definitions
    return types.Tool(
        name=served.name,
        description=served.description,
        input_schema=dict(served.input_schema),
        output_schema=None if output is None else dict(output),
    )


def _unwrapped(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of the answer itself: beside a run's id it may be anything."""
    from .forms import RESULT

    properties = schema.get("properties", {})
    return properties[RESULT] if list(properties) == [RESULT] else schema


def _answered(
    output: Any, structured: Mapping[str, Any], run_id: str | None
) -> types.CallToolResult:
    meta = None if run_id is None else {RUN: run_id}
    content = types.TextContent(type="text", text=as_text(output))
    return types.CallToolResult(content=[content], structured_content=dict(structured), _meta=meta)


def _failed(failure: Failure) -> types.CallToolResult:
    meta: dict[str, Any] = {KIND: str(failure.kind)}
    text = failure.message
    if failure.run_id is not None:
        meta[RUN] = failure.run_id
        if failure.run_id not in text:
            text = f"{text} (run {failure.run_id})"
    content = types.TextContent(type="text", text=text)
    return types.CallToolResult(content=[content], is_error=True, _meta=meta)


def _told(item: Item) -> tuple[str, int, int | None] | None:
    if isinstance(item, Progress):
        return item.message, item.done, item.total
    if isinstance(item, Begun):
        return f"run {item.run_id}", 0, None
    return (f"calls {item.tool}", 0, None) if isinstance(item, ToolCall) else None


def _caller(ctx: Context) -> str:
    if ctx.request is None:
        return LOCAL
    who: str = ctx.request.scope["state"]["who"]
    return who


def _session(ctx: Context) -> str | None:
    return None if ctx.request is None else ctx.request.headers.get("mcp-session-id")


def _key(ctx: Context) -> str | None:
    meta: Any = ctx.meta
    key = None if meta is None else meta.get(KEY)
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= 200:
        raise CallFailed(
            FailureKind.BAD_INPUT, f"The key in _meta[{KEY!r}] is a text of 1 to 200 characters."
        )
    return key


__all__ = ["KEY", "KIND", "LEFT", "LOCAL", "RUN", "Leaving", "McpTools"]
