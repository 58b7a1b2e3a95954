"""A provider of models for the examples: real HTTP on the loopback interface, in OpenAI's chat format.

`say` gets the body of a request and returns a text, or the (tool, arguments) that the model calls.
"""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Say = Callable[[dict[str, Any]], str | tuple[str, dict[str, Any]]]


class Provider(ThreadingHTTPServer):
    """Answers requests by *say*, and keeps their bodies and the keys that came with them."""

    daemon_threads = True

    def __init__(self, say: Say) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.say = say
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Requests(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Provider)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.requests.append(body)
        server.keys.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
        said = server.say(body)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if isinstance(said, tuple):
            call = {"name": said[0], "arguments": json.dumps(said[1])}
            call_id = f"call_{len(server.requests)}"
            calls = [{"id": call_id, "type": "function", "function": call}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "tool_calls" if isinstance(said, tuple) else "stop",
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal for the example."""


@contextmanager
def provider(say: Say) -> Generator[Provider]:
    """Serve in a thread until the block ends."""
    with Provider(say) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
