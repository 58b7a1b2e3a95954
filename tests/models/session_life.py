"""A process that asks an agent in a session, in a stored run, and may be killed as its turn is written.

``python session_life.py STORE KILL``: *KILL* is ``after`` (once the turn is in the store), ``before``, or
``never``. It prints how often the model was asked, and what the session has.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from session_models import Echo, texts

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store.grouped.sessions import SessionQueries

FLOW = {
    "name": "chat",
    "steps": [
        {"id": "answer", "agent": "echo", "input": "$input.text", "session": "$input.user"},
        {"id": "more", "agent": "echo", "input": "and then?", "session": "$input.user"},
    ],
}


def kill_at_turn(when: str) -> None:
    """Have this process killed as it writes its first turn."""
    write = SessionQueries.append_turn

    async def killed(self: Any, *args: Any) -> Any:
        if when == "after":
            await write(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    SessionQueries.append_turn = killed  # type: ignore[method-assign]


async def main(url: str, when: str) -> None:
    if when != "never":
        kill_at_turn(when)
    model = Echo()
    echo = model.agent()
    config = EngineConfig(state_store=url, recover_every_seconds=0.5, lease_seconds=5.0)
    async with ActorSystem():
        engine = OrchestrationEngine(config)
        engine.register_agent("echo", echo)
        engine.register_workflow("chat", FLOW)
        async with engine:
            if when != "never":
                await engine.execute(
                    "chat", {"text": "hello", "user": "ann"}, persist_state=True, workflow_id="run"
                )
            await engine.wait("run")
            print(len(model.seen), texts(await echo.session("ann").messages()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
