"""Bodies that say two things at once: the same answer by every protocol."""

from __future__ import annotations

from typing import Any

import pytest

httpx = pytest.importorskip("httpx")

CALL = '"jsonrpc": "2.0", "method": "GetTask", "params": {"id": "x"}, "id": 1'
CHAT = '"model": "price", "messages": [{"role": "user", "content": "x"}]'
ASKED = '"threadId": "t", "runId": "r", "messages": [], "tools": [], "context": [], "state": {}'
PATHS = {"/a2a/price/": CALL, "/mcp": CALL, "/v1/chat/completions": CHAT, "/ag-ui/price/": ASKED}


def test_a_key_that_stands_twice_and_nan_are_refused_by_every_protocol(in_service: Any) -> None:
    async def test(service: Any) -> None:
        headers = {"content-type": "application/json", "accept": "*/*"}
        async with httpx.AsyncClient(
            base_url=service.url, follow_redirects=True, timeout=60
        ) as http:
            for path, fields in PATHS.items():
                for more, said in (
                    ('"x": {"a": 1, "a": 2}', "the key 'a' stands twice in one object"),
                    ('"x": NaN', "NaN is not a number in JSON"),
                    (f'"pad": "{"x" * 70_000}", "x": NaN', "NaN is not a number in JSON"),
                ):
                    body = f"{{{fields}, {more}}}"
                    refused = await http.post(path, content=body, headers=headers)
                    assert (path, refused.status_code) == (path, 400)
                    assert said in refused.text

    in_service(test)
