"""An agent that crashes, its supervisor that brings it back, and the caller that hears the truth.

python examples/self_healing.py
"""

import asyncio

from agenticaiframework import Agent
from agenticaiframework.actors import AgentFailed
from agenticaiframework.orchestration import AgentSupervisor, RestartPolicy, SequentialOrchestration


async def fetch(url: str) -> str:
    if "broken" in url:
        raise ConnectionError(f"{url} does not answer")
    return f"<page of {url}>"


def count_letters(page: str) -> int:
    # A plain function may block: it runs in a thread.
    return sum(character.isalpha() for character in page)


fetcher = Agent("fetcher", handler=fetch)
counter = Agent("counter", handler=count_letters)


async def main() -> None:
    supervisor = AgentSupervisor("desk", restart_policy=RestartPolicy(max_restarts=3))
    supervisor.add_child("fetcher", fetcher)
    supervisor.add_child("counter", counter)
    await supervisor.start()

    @supervisor.on_failure
    def tell(name: str, error: Exception, restarts: int) -> bool:
        print(f"{name} failed: {error} (restarted {restarts} times before)")
        return True

    try:
        pipeline = SequentialOrchestration(name="letters", steps=["fetcher", "counter"])
        print("letters:", await pipeline.execute(input_data="https://example.org"))
        try:
            await supervisor.ask("fetcher", "https://broken.example")
        except AgentFailed as error:
            print("the caller got:", error)
        # The same address, another incarnation.
        print("and again:", await supervisor.ask("fetcher", "https://example.org"))
        print(supervisor.tree())
    finally:
        await supervisor.stop()


if __name__ == "__main__":
    asyncio.run(main())
