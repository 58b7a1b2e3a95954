"""Importing the package costs little and brings no optional dependency along."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

EXTRAS = {
    "cyclopts",
    "hypothesis",
    "openai",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pydantic_ai",
    "ray",
    "rich",
    "starlette",
    "uvicorn",
    "xllamacpp",
    "yaml",
}

PROGRAM = """
import json, sys
import {module}
print(json.dumps({{"modules": sorted({{m.split(".")[0] for m in sys.modules}})}}))
"""


def imported(module: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    "module",
    ["agenticaiframework", "agenticaiframework.orchestration", "agenticaiframework.actors"],
)
def test_importing_brings_no_extra_along(module: str) -> None:
    modules = imported(module)["modules"]
    assert isinstance(modules, list)
    assert not EXTRAS & set(modules)
