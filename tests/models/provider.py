"""A model provider on the loopback interface: real HTTP in OpenAI's chat format, by a script.

In a thread of this process, where the script may be a function of the request:

    with provider(["first", calls(("add", {"a": 1})), fault(429, retry_after=2), "then"]) as server:
        ...  # OPENAI_BASE_URL=server.url, OPENAI_API_KEY=anything
        assert server.counts["requests"] == 4

or in a process of its own, which outlives a client that is killed; its script is data:

    with provider_process(turns(calls(("refund", {"order": 7})), "Refunded.")) as server:
        ...
        assert server.counts["requests"] == 2

A script is one reply or several in the order of the requests (the last one repeats), `turns(...)`
(the reply depends on how many answers stand after the last user message, so that conversations
overlap and resume), ``{model: script}``, or a function of the request's body. A reply is a text, a
status code, or a `Reply`; None echoes the last user message.

Over HTTP: ``GET /counts``, ``GET /requests``, ``POST /script`` (as JSON, see `script_to_json`),
``POST /hold`` and ``POST /release`` (replies wait in between), ``GET /v1/models``.
Run it alone with ``python tests/models/provider.py [--port N] [--script JSON]``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast

Body = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the server says to one request, and how.

    `calls` are (tool, arguments) pairs; arguments given as text are sent as they are. `raw` is sent
    in place of the body (of each event in a stream). `cut_after` closes the connection after that
    many deltas (of a whole answer: after the headers and a part of the body); -1 closes it before
    the first byte. `hang` never goes on after `cut_after` deltas instead (0: says nothing).
    """

    text: str | None = None
    calls: tuple[tuple[str, Any], ...] = ()
    thinking: str | None = None
    refusal: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    message: str = "broken"
    raw: str | None = None
    delay_s: float = 0.0
    between_s: float = 0.0
    deltas: int | None = None
    cut_after: int | None = None
    hang: bool = False
    usage: tuple[int, int] | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class Turns:
    """A script whose reply depends on the answers since the last user message."""

    replies: tuple[Any, ...]


Script = Any
"""A reply, a sequence of them, `Turns`, a mapping of models, or a function of the body."""


def calls(*tools: tuple[str, Any], text: str | None = None, **how: Any) -> Reply:
    """Call *tools*, (name, arguments) each, in one answer."""
    return Reply(text=text, calls=tools, **how)


def fault(
    status: int,
    *,
    retry_after: float | str | None = None,
    headers: Mapping[str, str] | None = None,
    message: str = "broken",
    **how: Any,
) -> Reply:
    """Fail with *status*; *retry_after* is seconds, or the header's text."""
    all_headers = dict(headers or {})
    if retry_after is not None:
        all_headers["Retry-After"] = str(retry_after)
    return Reply(status=status, headers=all_headers, message=message, **how)


def slow(text: str = "at last", *, delay_s: float = 0.0, between_s: float = 0.0) -> Reply:
    """Say *text* after *delay_s*, with *between_s* between the deltas of a stream."""
    return Reply(text=text, delay_s=delay_s, between_s=between_s)


def hang(after: int = 0, text: str = "one two three four") -> Reply:
    """Say *after* deltas of *text* and then nothing more, with the connection open."""
    return Reply(text=text, cut_after=after, hang=True)


def cut(after: int = -1, text: str = "one two three four") -> Reply:
    """Close the connection after *after* deltas of *text*; -1: without a byte of an answer."""
    return Reply(text=text, cut_after=after)


def wrong_json(raw: str = '{"choices": [{"mess') -> Reply:
    """Say what is not an answer in OpenAI's format, with status 200."""
    return Reply(raw=raw)


def refusal(why: str = "I cannot help with that.") -> Reply:
    """Refuse, as OpenAI's models do for content."""
    return Reply(refusal=why)


def turns(*replies: Any) -> Turns:
    """Answer by the number of answers since the last user message; the last reply repeats."""
    return Turns(replies)


def tool_loop(tool: str, times: int, text: str = "done", key: str = "n") -> Turns:
    """Call *tool* with ``{key: 1}``, ``{key: 2}`` ... in turn, *times* times, and then say *text*."""
    return turns(*(calls((tool, {key: n})) for n in range(1, times + 1)), text)


def script_to_json(script: Script) -> Any:
    """Return *script* as plain data; a function cannot be sent to another process."""
    if isinstance(script, Turns):
        return {"turns": [script_to_json(reply) for reply in script.replies]}
    if isinstance(script, Reply):
        plain = Reply()
        changed = {f.name for f in fields(script)}
        changed = {n for n in changed if getattr(script, n) != getattr(plain, n)}
        return {"reply": {n: v for n, v in asdict(script).items() if n in changed}}
    if isinstance(script, Mapping):
        models = cast(Mapping[str, Any], script)
        return {"models": {name: script_to_json(s) for name, s in models.items()}}
    if script is None or isinstance(script, str | int):
        return script
    if isinstance(script, Sequence):
        return [script_to_json(reply) for reply in cast(Sequence[Any], script)]
    raise TypeError(f"{script!r} cannot be sent to another process: give replies, not a function.")


def script_from_json(data: Any) -> Script:
    """Return the script that `script_to_json` wrote."""
    if isinstance(data, list):
        return [script_from_json(reply) for reply in cast(list[Any], data)]
    if not isinstance(data, dict):
        return data
    (kind, value), *_ = cast(dict[str, Any], data).items()
    if kind == "turns":
        return Turns(tuple(script_from_json(reply) for reply in value))
    if kind == "models":
        return {name: script_from_json(script) for name, script in value.items()}
    called = tuple((name, arguments) for name, arguments in value.pop("calls", ()))
    usage = value.pop("usage", None)
    return Reply(calls=called, usage=tuple(usage) if usage else None, **value)


class _Player:
    """Chooses the reply to each request. Owns the place in sequences; used on the server's loop."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._places: Counter[int] = Counter()

    def reply(self, body: Body) -> Reply:
        said: Any = self._script
        while not isinstance(said, Reply):
            if said is None:
                said = Reply(text=_last_user_text(body))
            elif isinstance(said, str):
                said = Reply(text=said)
            elif isinstance(said, int):
                said = Reply(status=said)
            elif isinstance(said, Turns):
                said = said.replies[min(_answers_since_user(body), len(said.replies) - 1)]
            elif isinstance(said, Mapping):
                models = cast(Mapping[str, Any], said)
                said = models[body["model"]] if body["model"] in models else Reply(status=404)
            elif callable(said):
                said = said(body)
            else:
                sequence = cast(Sequence[Any], said)
                place = self._places[id(sequence)]
                self._places[id(sequence)] += 1
                said = sequence[min(place, len(sequence) - 1)]
        return said


def _last_user_text(body: Body) -> str:
    said = [m["content"] for m in body["messages"] if m["role"] == "user"]
    last = said[-1] if said else ""
    return last if isinstance(last, str) else json.dumps(last)


def _answers_since_user(body: Body) -> int:
    count = 0
    for message in body["messages"]:
        if message["role"] == "user":
            count = 0
        elif message["role"] == "assistant":
            count += 1
    return count


def _words(value: Any) -> int:
    return len((value if isinstance(value, str) else json.dumps(value)).split())


def _usage(reply: Reply, body: Body) -> dict[str, int]:
    spent = reply.usage or (
        sum(_words(m.get("content") or "") for m in body["messages"]),
        _words(reply.text or "") + sum(1 + _words(arguments) for _, arguments in reply.calls),
    )
    return {
        "prompt_tokens": spent[0],
        "completion_tokens": spent[1],
        "total_tokens": spent[0] + spent[1],
    }


def _tool_calls(reply: Reply, body: Body) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call-{len(body['messages'])}-{index}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
            },
        }
        for index, (name, arguments) in enumerate(reply.calls)
    ]


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.calls else "stop")


def _whole(reply: Reply, body: Body, number: int) -> str:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = _tool_calls(reply, body)
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.refusal:
        message["refusal"] = reply.refusal
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    return json.dumps(
        {
            "id": f"chat-{number}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": _usage(reply, body),
        }
    )


def _pieces(text: str, count: int | None) -> list[str]:
    """Cut *text* into *count* pieces, or into its words, which keep their spaces."""
    if count is None:
        words = text.split(" ")
        return [word if not i else f" {word}" for i, word in enumerate(words)]
    size, more = divmod(max(len(text), count), count)
    text = text.ljust(count, ".")
    cuts = [i * size + min(i, more) for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def _events(reply: Reply, body: Body, number: int) -> list[str]:
    """Return the data of each event of a stream, without the final one that says how it ended."""
    deltas: list[dict[str, Any]] = []
    if reply.thinking:
        deltas += [{"reasoning_content": piece} for piece in _pieces(reply.thinking, None)]
    if reply.text is not None:
        deltas += [{"content": piece} for piece in _pieces(reply.text, reply.deltas)]
    if reply.refusal:
        deltas += [{"refusal": piece} for piece in _pieces(reply.refusal, None)]
    for index, call in enumerate(_tool_calls(reply, body)):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        first = {**call, "function": {**call["function"], "arguments": arguments[:half]}}
        deltas.append({"tool_calls": [{"index": index, **first}]})
        rest = {"index": index, "function": {"arguments": arguments[half:]}}
        deltas.append({"tool_calls": [rest]})
    return [_event(body, number, delta, None) for delta in deltas]


def _event(body: Body, number: int, delta: Any, reason: str | None, usage: Any = None) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}] if delta is not None else []
    event: dict[str, Any] = {
        "id": f"chat-{number}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": body["model"],
        "choices": choices,
    }
    if usage is not None:
        event["usage"] = usage
    return json.dumps(event)


class LoopbackProvider:
    """The server, in a thread of its own with a loop of its own.

    The thread owns all state; other threads read the counts and lists, which only grow.
    `seen` are the bodies of the chat requests, `headers` their headers (lower case) in that order.
    """

    def __init__(self, script: Script = None, *, port: int = 0) -> None:
        self.seen: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.port = port
        self.changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._player = _Player(script)
        self._free = asyncio.Event()
        self._free.set()
        self._connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="loopback-provider", daemon=True)

    # For tests, from any thread.

    @property
    def url(self) -> str:
        """The base URL, as OPENAI_BASE_URL has it."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def keys(self) -> list[str]:
        """The Authorization header of each chat request."""
        return [headers.get("authorization", "") for headers in self.headers]

    @property
    def counts(self) -> dict[str, Any]:
        """What came and how it ended.

        requests, answered (to the end), failed (an error status), cut (by the server), left (the
        client closed first), held and most_in_flight, connections (ever) and open (now).
        """
        names = ("requests", "answered", "failed", "cut", "left", "most_in_flight", "connections")
        counts: dict[str, Any] = {name: self._counts[name] for name in names}
        counts["in_flight"] = self._counts["in_flight"]
        counts["open"] = len(self._connections)
        counts["by_status"] = dict(self._statuses)
        counts["by_model"] = dict(self._models)
        return counts

    def play(self, script: Script) -> None:
        """Answer by another script from now on."""
        self._player = _Player(script)

    def hold(self) -> None:
        """Let requests come, and answer none of them until `release`."""
        self._call(self._free.clear)

    def release(self) -> None:
        """Answer what is held, and go on."""
        self._call(self._free.set)

    def down(self) -> None:
        """Stop listening and cut every connection; the port stays this server's."""
        asyncio.run_coroutine_threadsafe(self._down(), self._loop).result(10)

    def up(self) -> None:
        """Listen again, on the same port."""
        asyncio.run_coroutine_threadsafe(self._up(), self._loop).result(10)

    def wait_for(self, timeout_s: float = 60.0, **counts: int) -> None:
        """Wait until each of *counts* is as given: ``wait_for(requests=3, open=0)``."""

        def reached() -> bool:
            now = self.counts
            return all(now[name] == count for name, count in counts.items())

        with self.changed:
            if not self.changed.wait_for(reached, timeout_s):
                raise AssertionError(f"waited for {counts}, came to {self.counts}")

    def start(self) -> LoopbackProvider:
        """Start the thread, and return when the server listens."""
        self._thread.start()
        self.up()
        return self

    def close(self) -> None:
        """Stop, whatever is in flight."""
        if not self._thread.is_alive():
            return
        self.down()
        self._call(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # On the server's loop.

    def _call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _up(self) -> None:
        if self._listener is None:
            self._listener = await self._loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _down(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        serving = [c.serving for c in self._connections if c.serving is not None]
        for connection in list(self._connections):
            connection.cut()
        await asyncio.gather(*serving, return_exceptions=True)
        while self._connections:
            await asyncio.sleep(0)

    def note(self, *, open: _Connection | None = None, closed: _Connection | None = None) -> None:
        """Remember a connection, or that it is gone."""
        with self.changed:
            if open is not None:
                self._connections.add(open)
                self._counts["connections"] += 1
            if closed is not None:
                self._connections.discard(closed)
            self.changed.notify_all()

    async def serve(self, connection: _Connection, method: str, path: str, data: bytes) -> None:
        """Answer one request, of whatever kind."""
        if method == "POST" and path.endswith("/chat/completions"):
            await self._serve_chat(connection, json.loads(data))
        elif path == "/counts":
            connection.answer(200, json.dumps(self.counts))
        elif path == "/requests":
            connection.answer(200, json.dumps(self.seen))
        elif path == "/v1/models":
            listed = [{"id": name, "object": "model"} for name in sorted(self._models)]
            connection.answer(200, json.dumps({"object": "list", "data": listed}))
        elif method == "POST" and path == "/script":
            self.play(script_from_json(json.loads(data)))
            connection.answer(200, "{}")
        elif method == "POST" and path in ("/hold", "/release"):
            (self._free.clear if path == "/hold" else self._free.set)()
            connection.answer(200, "{}")
        else:
            connection.answer(404, json.dumps({"error": {"message": f"no {method} {path}"}}))

    async def _serve_chat(self, connection: _Connection, body: Body) -> None:
        with self.changed:
            self.seen.append(body)
            self.headers.append(connection.headers)
            self._counts["requests"] += 1
            self._counts["in_flight"] += 1
            number = self._counts["requests"]
            most = max(self._counts["most_in_flight"], self._counts["in_flight"])
            self._counts["most_in_flight"] = most
            self._models[str(body.get("model"))] += 1
            self.changed.notify_all()
        outcome = "left"
        try:
            reply = self._player.reply(body)
            if not self._free.is_set():
                await self._free.wait()
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            self._statuses[str(reply.status)] += 1
            outcome = await self._reply(connection, reply, body, number)
        except asyncio.CancelledError:
            outcome = "cut" if connection.was_cut else "left"
            raise
        finally:
            with self.changed:
                self._counts["in_flight"] -= 1
                self._counts[outcome] += 1
                self.changed.notify_all()

    async def _reply(self, connection: _Connection, reply: Reply, body: Body, number: int) -> str:
        if reply.cut_after == -1:
            connection.cut()
            return "cut"
        if reply.status != 200:
            data = reply.raw
            if data is None:
                said = {"message": reply.message, "type": "error", "code": str(reply.status)}
                data = json.dumps({"error": said})
            connection.answer(reply.status, data, reply.headers)
            return "failed"
        if body.get("stream"):
            return await self._stream(connection, reply, body, number)
        data = _whole(reply, body, number) if reply.raw is None else reply.raw
        if reply.hang:
            await asyncio.Event().wait()
        connection.answer(200, data, reply.headers, only=reply.cut_after)
        if reply.cut_after is not None:
            connection.cut(at_once=False)
            return "cut"
        return "answered"

    async def _stream(self, connection: _Connection, reply: Reply, body: Body, number: int) -> str:
        headers = {"Content-Type": "text/event-stream", **reply.headers}
        connection.begin(200, {**headers, "Transfer-Encoding": "chunked"})
        events = _events(reply, body, number) if reply.raw is None else [reply.raw]
        for count, event in enumerate([*events, None]):
            if count == reply.cut_after:
                if reply.hang:
                    await asyncio.Event().wait()
                connection.cut(at_once=False)
                return "cut"
            if event is not None:
                if count and reply.between_s:
                    await asyncio.sleep(reply.between_s)
                connection.chunk(f"data: {event}\n\n")
                await connection.drain()
        connection.chunk(f"data: {_event(body, number, {}, _finish_reason(reply))}\n\n")
        if (body.get("stream_options") or {}).get("include_usage"):
            last = _event(body, number, None, None, _usage(reply, body))
            connection.chunk(f"data: {last}\n\n")
        connection.chunk("data: [DONE]\n\n")
        connection.end()
        return "answered"


class _Connection(asyncio.Protocol):
    """One connection: reads requests one after the other; its end cancels what is being served."""

    def __init__(self, server: LoopbackProvider) -> None:
        self.headers: dict[str, str] = {}
        self.serving: asyncio.Task[None] | None = None
        self.was_cut = False
        self._server = server
        self._buffer = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.note(open=self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.serving is not None:
            self.serving.cancel()
        self._writable.set()
        self._server.note(closed=self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.serving is None:
            self._next_request()

    def _next_request(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        data, self._buffer = rest[:length], rest[length:]
        self.headers = headers
        method, path, _ = first.split(" ")
        self.serving = asyncio.ensure_future(self._server.serve(self, method, path, data))
        self.serving.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self.serving = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            print(f"loopback provider: {error!r}", file=sys.stderr)
            self.cut()
        elif self._transport is not None and not self._transport.is_closing():
            self._next_request()

    def _write(self, text: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(text.encode())

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and the headers."""
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        lower = {name.lower() for name in headers}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if "date" not in lower:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        if "content-type" not in lower:
            lines.append("Content-Type: application/json")
        self._write("\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "", ""]))

    def answer(
        self,
        status: int,
        data: str,
        headers: Mapping[str, str] | None = None,
        only: int | None = None,
    ) -> None:
        """Send a whole answer, or *only* so many bytes of its body."""
        length = {"Content-Length": str(len(data.encode()))}
        self.begin(status, {**(headers or {}), **length})
        self._write(data if only is None else data[:only])

    def chunk(self, text: str) -> None:
        """Send a piece of a body in chunks."""
        self._write(f"{len(text.encode()):x}\r\n{text}\r\n")

    def end(self) -> None:
        """End a body in chunks."""
        self._write("0\r\n\r\n")

    async def drain(self) -> None:
        """Give other connections their turn, and wait while the client does not read."""
        await asyncio.sleep(0)
        await self._writable.wait()

    def cut(self, at_once: bool = True) -> None:
        """Close the connection: at once, or after what was written."""
        self.was_cut = True
        if self._transport is not None:
            (self._transport.abort if at_once else self._transport.close)()


@contextmanager
def provider(script: Script = None, *, port: int = 0) -> Iterator[LoopbackProvider]:
    """Serve *script* from a thread of this process until the block ends."""
    server = LoopbackProvider(script, port=port).start()
    try:
        yield server
    finally:
        server.close()


class ProviderProcess:
    """A provider in a process of its own; everything is asked over HTTP."""

    def __init__(self, script: Script = None, *, port: int = 0) -> None:
        command = [sys.executable, __file__, "--port", str(port)]
        # A session of its own: what ends the client's process group does not end the server.
        self._process = subprocess.Popen(
            [*command, "--script", json.dumps(script_to_json(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the provider's process did not start")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def counts(self) -> dict[str, Any]:
        """As `LoopbackProvider.counts`."""
        return cast(dict[str, Any], self._ask("/counts"))

    @property
    def seen(self) -> list[Body]:
        """The bodies of the chat requests."""
        return cast(list[Body], self._ask("/requests"))

    def play(self, script: Script) -> None:
        """Answer by another script from now on."""
        self._ask("/script", json.dumps(script_to_json(script)))

    def hold(self) -> None:
        """Let requests come, and answer none of them until `release`."""
        self._ask("/hold", "")

    def release(self) -> None:
        """Answer what is held, and go on."""
        self._ask("/release", "")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, path: str, data: str | None = None) -> Any:
        address = self.url.removesuffix("/v1") + path
        request = urllib.request.Request(address, data.encode() if data is not None else None)
        # Never through a proxy of the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as response:
            return json.load(response)


@contextmanager
def provider_process(script: Script = None, *, port: int = 0) -> Iterator[ProviderProcess]:
    """Serve *script* from a process of its own until the block ends (or this process dies)."""
    server = ProviderProcess(script, port=port)
    try:
        yield server
    finally:
        server.close()


def main() -> None:
    """Serve until standard input ends, which it does when the parent dies."""
    parser = argparse.ArgumentParser(description="A model provider on the loopback interface.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", default="null", help="as script_to_json writes it")
    arguments = parser.parse_args()
    script = script_from_json(json.loads(arguments.script))
    with provider(script, port=arguments.port) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
