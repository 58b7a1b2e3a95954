"""The fixture that every test gets notices what a test leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

LEAVES = {
    "threads": """
        import threading
        done = threading.Event()
        threading.Thread(target=done.wait, name="forgotten", daemon=True).start()
    """,
    "asyncio tasks": """
        import asyncio

        async def main():
            main.task = asyncio.create_task(asyncio.sleep(60), name="forgotten")

        asyncio.run(main())
    """,
    "actors": """
        import pykka

        class Forgotten(pykka.ThreadingActor):
            use_daemon_thread = True

        Forgotten.start()
    """,
    "nothing": """
        import asyncio
        from agenticaiframework import Agent
        from agenticaiframework.actors import ActorSystem

        async def main():
            async with ActorSystem():
                return await Agent("a", handler=lambda payload: payload).ask(1)

        assert asyncio.run(main()) == 1
    """,
}


@pytest.mark.parametrize("kind", LEAVES)
def test_what_is_left_behind_fails_the_test_that_left_it(kind: str, tmp_path: Path) -> None:
    text = CONFTEST.read_text("utf-8").replace("_GRACE_S = 20.0", "_GRACE_S = 0.2")
    assert "_GRACE_S = 0.2" in text
    (tmp_path / "conftest.py").write_text(text, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(f"def test_it():{LEAVES[kind]}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    if kind == "nothing":
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode == 1, done.stdout
        assert f"The test left behind {kind}" in done.stdout or f"; {kind}" in done.stdout
