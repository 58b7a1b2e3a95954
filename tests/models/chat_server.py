"""A server on the loopback interface that speaks OpenAI's chat format; the tests say what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ChatServer:
    """Where the server is, and the requests that it saw."""

    url: str
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """A status code to fail with, and the headers that go with it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def chat_server(answer: Callable[[dict[str, Any]], str | int | Refusal]) -> Iterator[ChatServer]:
    """Serve *answer* (its text, or a status code to fail with) until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append(body)
            server.keys.append(self.headers["Authorization"])
            said = answer(body)
            if isinstance(said, int):
                said = Refusal(said)
            status = said.status if isinstance(said, Refusal) else 200
            message = {"role": "assistant", "content": None if status != 200 else said}
            reply = {
                "id": "chat-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            data = json.dumps({"error": {"message": "broken"}} if status != 200 else reply).encode()
            headers = said.headers if isinstance(said, Refusal) else {}
            self.send_response_only(status)
            if "Date" not in headers:
                self.send_header("Date", self.date_time_string())
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing on standard error."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False

    http = Server(("127.0.0.1", 0), Handler)
    server = ChatServer(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
