"""The example of a simulated cluster in docs/cluster.md runs; `test_ray` runs those that need Ray."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_the_pages_simulation_runs() -> None:
    section = PAGE.read_text("utf-8").partition("## In a simulation")[2]
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
