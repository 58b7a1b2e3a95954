"""Two agents hand a conversation to each other and to the user, and one of them refunds a flight.

python examples/gallery/06_refund_swarm.py

    user: I need to refund my flight.
      travel_agent -> refunder
      refunder -> user
    refunder: What is your flight's reference number?
    user: 507811
      refunder -> travel_agent
    travel agent: Your flight is refunded
"""

import asyncio

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import AgentRole, AgentTeam, TeamConfig, TeamResult
from agenticaiframework.testing import scripted_model

refunded: list[str] = []


def refund_flight(flight: str) -> str:
    """Refund a flight by its reference number."""
    refunded.append(flight)
    return f"{flight} is refunded"


MODEL = "openai:gpt-4o"
team = AgentTeam(
    "travel_desk",
    TeamConfig(mode="swarm"),
    roles=[
        AgentRole(name="travel_agent", description="Plans journeys, and speaks for the desk."),
        AgentRole(name="refunder", description="Refunds flights."),
        AgentRole(name="user"),
    ],
)
team.assign_agent(Agent("travel agent", model=MODEL), "travel_agent")
team.assign_agent(Agent("refunder", model=MODEL, tools=[refund_flight]), "refunder")


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    done = any(result.tool == "refund_flight" for result in request.results)
    if request.agent == "travel agent":
        return "Your flight is refunded" if done else request.call("transfer_to_refunder")
    if done:
        return request.call("transfer_to_travel_agent")
    if request.payload.isdigit():
        return request.call("refund_flight", flight=request.payload)
    question = "What is your flight's reference number?"
    return request.call("transfer_to_user", message=question)


async def main() -> list[TeamResult]:
    results: list[TeamResult] = []
    async with ActorSystem():
        for message in ("I need to refund my flight.", "507811"):
            print("user:", message)
            result = await team.ask(message, session="customer-1")
            for handoff in result.handoffs:
                print(f"  {handoff.from_role} -> {handoff.to_role}")
            print(f"{result.speaker}:", result.final)
            results.append(result)
    return results


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
