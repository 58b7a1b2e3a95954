"""Both ways of the records: all by loguru, all by the standard library, each of them once."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import Actor, ActorSystem, Agent
from agenticaiframework.logs import JsonFormatter, to_loguru, to_standard_logging

from .conftest import Records

pytestmark = pytest.mark.usefixtures("restored")


class Bomb(Actor):
    def on_receive(self, message: Any) -> None:
        raise ValueError(f"boom {message}")


class Cautious(Bomb):
    crash_on_ask_error = False


async def explode(actor_class: type[Actor] = Bomb) -> None:
    async with asyncio.timeout(120), ActorSystem("svc") as system:
        ref = system.start(actor_class)
        if actor_class is Bomb:
            ref.tell("now")
            await system.wait_ended(ref)
        else:
            await asyncio.gather(ref.request("now"), return_exceptions=True)


class Lines(logging.Handler):
    """Collects the records that reach the root."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def names(self) -> list[str]:
        return [record.name.partition(".")[0] for record in self.records]


@pytest.fixture
def root() -> Iterator[Lines]:
    handler = Lines()
    log = logging.getLogger()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.fixture
def everything() -> Iterator[list[Any]]:
    """What loguru is given, by whomever."""
    found: list[Any] = []
    sink = logger.add(lambda message: found.append(message.record), level="INFO")
    yield found
    logger.remove(sink)


def test_unless_told_otherwise_each_goes_its_own_way(root: Lines, everything: list[Any]) -> None:
    asyncio.run(explode())
    assert root.names == ["pykka"]
    assert [record["name"] for record in everything] == ["agenticaiframework.actors.system.crashes"]


def test_all_by_the_standard_library(root: Lines, everything: list[Any]) -> None:
    to_standard_logging()
    asyncio.run(explode())
    assert everything == []
    [record] = root.records
    assert record.name == "agenticaiframework.actors.system.crashes"
    assert record.levelno == logging.ERROR
    assert (record.filename, record.funcName) == ("crashes.py", "_tell")
    assert "boom now" in record.getMessage()
    fields = vars(record)
    assert (fields["system"], fields["kind"]) == ("svc", "crash")
    assert fields["actor"].startswith("Bomb#")


def test_levels_of_the_standard_library_are_those_of_the_library(root: Lines) -> None:
    to_standard_logging()
    log = logging.getLogger("agenticaiframework")
    log.setLevel(logging.CRITICAL)
    try:
        asyncio.run(explode())
    finally:
        log.setLevel(logging.NOTSET)
    assert root.names == []


def test_all_by_loguru(root: Lines, everything: list[Any]) -> None:
    to_loguru()
    asyncio.run(explode())
    asyncio.run(explode(Cautious))
    assert root.names == []
    crash, answered = everything
    assert crash["name"] == "agenticaiframework.actors.system.crashes"
    assert (answered["name"], answered["level"].name) == ("pykka", "INFO")
    assert "returned from Cautious" in answered["message"]
    assert answered["exception"].type is ValueError


@pytest.mark.parametrize("last", [to_loguru, to_standard_logging])
def test_with_both_the_last_counts_and_nothing_goes_round(
    root: Lines, everything: list[Any], last: Any
) -> None:
    for bridge in (to_loguru, to_standard_logging, to_loguru, to_standard_logging, last):
        bridge()
    asyncio.run(explode())
    assert (len(everything), len(root.records)) == ((1, 0) if last is to_loguru else (0, 1))


def test_what_a_program_has_built_itself_makes_no_circle(everything: list[Any]) -> None:
    """loguru's manual has a handler that gives all to loguru, and a sink that gives all away."""

    class Intercept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.opt(depth=6, exception=record.exc_info).log(
                record.levelname, record.getMessage()
            )

    root = logging.getLogger()
    intercept = Intercept()
    root.addHandler(intercept)
    to_standard_logging()
    try:
        asyncio.run(explode())
    finally:
        root.removeHandler(intercept)
    assert len(everything) == 1
    everything.clear()
    to_loguru()

    def propagate(message: Any) -> None:
        logging.getLogger(message.record["name"]).error(message.record["message"])

    sink = logger.add(propagate)
    try:
        asyncio.run(explode(Cautious))
    finally:
        logger.remove(sink)
    assert len(everything) == 1


@pytest.mark.parametrize("bridge", [to_loguru, to_standard_logging])
def test_a_bridge_can_be_taken_off(root: Lines, everything: list[Any], bridge: Any) -> None:
    pykka = logging.getLogger("pykka")
    before = (list(pykka.handlers), list(pykka.filters), pykka.propagate, pykka.level)
    undo = bridge()
    undo()
    undo()
    assert (list(pykka.handlers), list(pykka.filters), pykka.propagate, pykka.level) == before
    asyncio.run(explode())
    assert (len(root.records), len(everything)) == (1, 1)


def test_neither_bridge_touches_the_sinks_of_loguru(everything: list[Any]) -> None:
    before = repr(logger)
    to_loguru()
    to_standard_logging()
    assert repr(logger) == before


def test_lines_of_json_have_the_fields() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("agenticaiframework")
    log.addHandler(handler)
    to_standard_logging()
    try:
        asyncio.run(explode())
        log.error("by hand", exc_info=ValueError("x"), extra={"odd": object})
    finally:
        log.removeHandler(handler)
    crash, by_hand = map(json.loads, stream.getvalue().splitlines())
    assert crash["level"] == "ERROR"
    assert crash["logger"] == "agenticaiframework.actors.system.crashes"
    assert crash["kind"] == "crash"
    assert crash["reason"] == "ValueError: boom now"
    assert crash["message"].startswith("Bomb#")
    assert by_hand["traceback"] == "ValueError: x"


def test_sinks_that_queue_and_serialize_work(records: Records, tmp_path: Any) -> None:
    class Local(Exception):
        """Cannot be pickled."""

        def __init__(self) -> None:
            super().__init__("local")
            self.loop = asyncio.get_running_loop()

    async def fail(_payload: Any) -> None:
        raise Local

    async def main() -> None:
        async with ActorSystem("svc"):
            await asyncio.gather(Agent("a", handler=fail).ask("x"), return_exceptions=True)

    file = tmp_path / "log.jsonl"
    sink = logger.add(file, enqueue=True, serialize=True, level="INFO")
    try:
        asyncio.run(main())
    finally:
        logger.complete()
        logger.remove(sink)
    [line] = file.read_text("utf-8").splitlines()
    record = json.loads(line)["record"]
    assert record["extra"]["actor"] == "a"
    assert record["extra"]["reason"] == "Local: local"
