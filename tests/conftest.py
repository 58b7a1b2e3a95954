"""What every test gets: hypothesis profiles, and a check that it leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

try:
    import hypothesis
except ImportError:  # without the extra `testing` those tests are skipped
    pass
else:
    for _name, _derandomize in (("ci", True), ("dev", False)):
        hypothesis.settings.register_profile(
            _name, deadline=None, derandomize=_derandomize, print_blob=True
        )
    # Who has just fetched the project wants the same verdict twice; who works on it explores.
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A thread that was told to end may still be on its way out when the test is over.
_GRACE_S = 20.0

_kept_names: set[str] = set()
"""The names of agents that a collection did not end: those of modules."""


def pytest_collection_finish() -> None:
    """What is there before the first test stays: collections between tests need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test that leaves a thread, an asyncio task or a live actor behind."""
    tasks: list[str] = []
    cancel_all = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

    def cancel_and_tell(loop: asyncio.AbstractEventLoop) -> None:
        # The run's own task is done by now; those that are not were forgotten by the test.
        tasks.extend(repr(task) for task in asyncio.all_tasks(loop))
        cancel_all(loop)

    monkeypatch.setattr(asyncio.runners, "_cancel_all_tasks", cancel_and_tell)
    threads = set(threading.enumerate())
    actors = set(_live_actors())
    yield
    left = {
        "threads": [repr(t) for t in _wait_for_end_of_threads(threads)],
        "asyncio tasks": tasks,
        "actors": _stop_actors(actors),
    }
    said = [f"{kind}: {', '.join(names)}" for kind, names in left.items() if names]
    if said:
        pytest.fail("The test left behind " + "; ".join(said), pytrace=False)


@pytest.fixture(autouse=True)
def finds_no_agent_of_another_test() -> None:
    """Let go of the agents of earlier tests: a name must not mean one of those.

    An agent in a circle of references lives until the next collection.
    """
    from agenticaiframework.actors.agents.agent import agent_names

    if set(agent_names()) - _kept_names:
        gc.collect()
        _kept_names.clear()
        _kept_names.update(agent_names())


def free_port() -> int:
    """Return a port that nothing listens on, and that no other process is given meanwhile.

    It is below the ports that a system gives out by itself, to listen on or to connect from.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def port() -> int:
    """Return a free port; see `free_port`."""
    return free_port()


def _wait_for_end_of_threads(known: set[threading.Thread]) -> list[threading.Thread]:
    deadline = time.monotonic() + _GRACE_S
    for thread in threading.enumerate():
        if thread not in known:
            thread.join(max(0.0, deadline - time.monotonic()))
    return [t for t in threading.enumerate() if t not in known]


def _live_actors() -> list[Any]:
    import pykka

    return [ref for ref in pykka.ActorRegistry.get_all() if ref.is_alive()]


def _stop_actors(known: set[Any]) -> list[str]:
    """Stop what is left, so that one forgetful test fails alone, and return what it was."""
    left = [ref for ref in _live_actors() if ref not in known]
    for ref in left:
        ref.stop(block=False)
    return [str(ref) for ref in left]


@pytest.fixture(scope="module")
def exported_in_module() -> Iterator[Any]:
    """Collect the spans of a module's tests, by OpenTelemetry's own exporter for tests."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    # OpenTelemetry takes one provider a process, so the modules share it.
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()  # the provider refers to it for ever: it is to keep no spans of others
    exporter.clear()


@pytest.fixture
def exported(exported_in_module: Any) -> Any:
    """Return the exporter of the spans that a test makes."""
    exported_in_module.clear()
    return exported_in_module
