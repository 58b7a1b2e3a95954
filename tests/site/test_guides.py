"""The guides do what they say: their blocks run as shown, in order, and print what stands below them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import guide
import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "how-to").glob("*.md"), *(DOCS / "migrate").glob("*.md")])
POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES")
NEEDS = ("fastapi", "httpx", "pydantic_ai", "prometheus_client", "starlette", "yaml", "cyclopts")


@pytest.fixture
def database() -> Iterator[str | None]:
    """A schema of its own on the PostgreSQL server for tests."""
    if POSTGRES is None:
        yield None
        return
    psycopg = pytest.importorskip("psycopg")
    schema = f"guide_{uuid.uuid4().hex[:12]}"
    yield f"{POSTGRES}?schema={schema}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_guide_does_what_it_says(page: Path, tmp_path: Path, database: str | None) -> None:
    for name in NEEDS:
        pytest.importorskip(name)
    if "DATABASE_URL" in page.read_text("utf-8") and database is None:
        pytest.skip("needs a PostgreSQL server: AGENTICAI_TEST_POSTGRES")
    if "```console" in page.read_text("utf-8") and not (
        shutil.which("bash") and shutil.which("curl")
    ):
        pytest.skip("bash and curl are typed")
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    if database is not None:
        environment["DATABASE_URL"] = database
    ran = subprocess.run(
        [sys.executable, guide.__file__, str(page)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]


def wrong_with(text: str, folder: Path) -> str:
    """Run a page with *text*, and return what is wrong with it."""
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    ran = subprocess.run(
        [sys.executable, guide.__file__, str(page)], capture_output=True, text=True, cwd=folder
    )
    return ran.stderr if ran.returncode else ""


def test_blocks_share_their_names_and_their_folder(tmp_path: Path) -> None:
    text = """
```python title="mine.py"
WORD = "tea"
```

```python
import asyncio

from mine import WORD

await asyncio.sleep(0)
print(WORD)
```

```text
tea
```

```python
assert WORD == "tea"
```

```console
$ python -c "import mine; print(mine.WORD * 2)"
te...ea
```

<!-- not run: it needs another library -->
```python
import a_library_that_is_not_installed
```
"""
    assert wrong_with(text, tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "page.md:1\n--- shown\n2"),
        ("```python\nprint(1)\n```\n", "page.md:1\n--- shown\n--- said\n1"),
        ("\n```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```console\n$ false\n```\n", "(exit code 1)"),
    ],
)
def test_a_guide_that_does_not_do_what_it_says_is_found(
    text: str, said: str, tmp_path: Path
) -> None:
    assert said in wrong_with(text, tmp_path)
