"""What the tests of log records share: the records, each of which has to be plain."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.logs import to_standard_logging


class Records(list[Any]):
    """Records of loguru's, with the text, level and fields of each."""

    def of(self, kind: str) -> list[Any]:
        """Return those of one kind."""
        return [record for record in self if record["extra"].get("kind") == kind]

    def only(self, kind: str) -> Any:
        """Return the one of a kind."""
        [record] = self.of(kind)
        return record

    @property
    def lines(self) -> list[str]:
        """The first line of each, with its level."""
        return [f"{r['level'].name} {first_line(r)}" for r in self]


def first_line(record: Any) -> str:
    text: str = record["message"]
    return text.partition("\n")[0]


@pytest.fixture
def records() -> Iterator[Records]:
    """Collect what the library logs, and check that its fields pickle and make JSON."""
    found = Records()
    logger.enable("agenticaiframework")
    sink = logger.add(
        lambda message: found.append(message.record), filter="agenticaiframework", level="INFO"
    )
    yield found
    logger.remove(sink)
    for record in found:
        fields = record["extra"]
        assert json.loads(json.dumps(fields)) == fields
        assert pickle.loads(pickle.dumps(fields)) == fields
        assert fields["kind"], record["message"]
        assert fields["reason"]


@pytest.fixture
def restored() -> Iterator[None]:
    """Leave the records' way as it was."""
    yield
    to_standard_logging()()
