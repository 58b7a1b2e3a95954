"""A pool of workers that may crash: each word has its sentence or its error, in the order of the words (Elixir).

"moon" is given one millisecond, which is too little; "bread" crashes its worker, which is started again.

python examples/gallery/12_worker_pool.py

    river: A river is what it is.
    moon: Agent 'worker 2' did not answer within 0.001 s
    bread: Agent 'worker 2' failed: TypeError: no one has thought of bread
    clock: A clock is what it is.
    pool  [one_for_one]  running  window 1/5 in 60 s
    ├─ worker 1  running
    └─ worker 2  running #2  restarts 1  last exit: TypeError: no one has thought of bread
"""

import asyncio

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, Router
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import AgentSupervisor
from agenticaiframework.supervision import Ok, TaskSupervisor
from agenticaiframework.testing import scripted_model

workers = [
    Agent(f"worker {number}", model="local", instructions="Describe it.", concurrency=1)
    for number in (1, 2)
]
pool = AgentSupervisor("pool")
for worker in workers:
    pool.add_child(worker.name, worker)


async def script(request: ScriptedRequest) -> object:
    """Answer in the place of the local model, so that this runs without its packages."""
    if request.payload == "moon":
        await asyncio.sleep(60)
    if request.payload == "bread":
        raise TypeError("no one has thought of bread")
    return f"A {request.payload} is what it is."


async def main() -> None:
    async with ActorSystem() as system, pool, TaskSupervisor("jobs") as jobs:
        least_busy = Router(system, workers, "smallest_mailbox")

        async def describe(word: str) -> str:
            return str(await least_busy.request(word, 0.001 if word == "moon" else 60))

        words = ["river", "moon", "bread", "clock"]
        async for outcome in jobs.stream(describe, words, max_concurrency=2):
            match outcome:
                case Ok(sentence):
                    print(f"{outcome.item}: {sentence}")
                case _:
                    print(f"{outcome.item}: {outcome.error}")
        print(pool.tree())


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the local model answers
        asyncio.run(main())
