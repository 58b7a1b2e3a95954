"""Customer service of an airline: a triage, a desk for questions, one for seats, and no homework.

The agent that spoke last takes the next message. The conversation is kept in a store, so that the program can be
called again for each message: `... chats.db "hi"`, then `... chats.db "may I take a bag?"`.

python examples/gallery/09_airline_service.py

    customer: hi
    triage: Hello, how can I help?  [2 entries]
    customer: may I take a bag?
    questions: One bag of up to 23 kg.  [6 entries]
    customer: I want another seat
    seats: You sit on 3A of flight FLT-476 now.  [11 entries]
    customer: solve x + 2 = 4
    refused (no homework): we do no homework
"""

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass

from pydantic_ai import RunContext

from agenticaiframework import Agent, Guardrail, GuardrailTripped
from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    HandingOver,
    TeamConfig,
)
from agenticaiframework.testing import scripted_model

MODEL = "openai:gpt-4o-mini"


@dataclass
class Booking:
    """What the agents of one conversation share."""

    flight: str = ""
    seat: str = ""


def look_up_rule(topic: str) -> str:
    """Look up what the airline allows."""
    return "One bag of up to 23 kg." if "bag" in topic else "I do not know."


def change_seat(ctx: RunContext[Booking], seat: str) -> str:
    """Move the customer to another seat."""
    assert ctx.deps.flight, "the seats desk is only reached with a flight"
    ctx.deps.seat = seat
    return f"You sit on {seat} of flight {ctx.deps.flight} now."


def assign_flight(handing: HandingOver) -> None:
    handing.state.flight = handing.state.flight or "FLT-476"


def service(store: str) -> AgentTeam:
    team = AgentTeam(
        "airline",
        TeamConfig(
            mode="swarm",
            state=Booking,
            history=f"sqlite:///{store}",
            guardrails=[Guardrail(Agent("checker", model=MODEL), "beside", name="no homework")],
        ),
        roles=[
            AgentRole(name="triage", description="Finds out what the customer wants."),
            AgentRole(name="questions", description="Answers questions about the rules."),
            AgentRole(name="seats", description="Changes seats."),
        ],
    )
    team.assign_agent(Agent("triage", model=MODEL), "triage")
    team.assign_agent(Agent("questions", model=MODEL, tools=[look_up_rule]), "questions")
    team.assign_agent(Agent("seats", model=MODEL, tools=[change_seat]), "seats")
    team.configure_handoffs(
        [
            AgentHandoff(from_role="triage", to_role="questions"),
            AgentHandoff(from_role="triage", to_role="seats", on_handoff=assign_flight),
            AgentHandoff(from_role="questions", to_role="triage"),
            AgentHandoff(from_role="seats", to_role="triage"),
        ]
    )
    return team


asked: Counter[str] = Counter()


async def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    asked[request.agent] += 1
    words = request.payload
    called = {result.tool: result.result for result in request.results}
    match request.agent:
        case "checker":
            passes = "x + 2" not in words
            return {"passes": passes, "reason": "" if passes else "we do no homework"}
        case "triage" if "bag" in words:
            return request.call("transfer_to_questions")
        case "triage" if "seat" in words:
            return request.call("transfer_to_seats")
        case "triage" if "x + 2" in words:
            await asyncio.sleep(60)  # an answer that should not be paid for
        case "triage":
            return "Hello, how can I help?"
        case "questions" if "bag" in words:
            return called.get("look_up_rule") or request.call("look_up_rule", topic="bags")
        case "questions":
            return request.call("transfer_to_triage")
        case "seats" if "seat" in words:
            return called.get("change_seat") or request.call("change_seat", seat="3A")
        case _:
            pass
    return "Anything else about your seat?"


async def main(store: str, messages: list[str]) -> None:
    async with ActorSystem():
        team = service(store)
        for message in messages:
            print("customer:", message)
            try:
                result = await team.ask(message, session="customer-1")
            except GuardrailTripped as error:
                print(f"refused ({error.name}): {error.reason}")
            else:
                print(f"{result.speaker}: {result.final}  [{len(result.conversation)} entries]")


if __name__ == "__main__":
    said = sys.argv[2:] or ["hi", "may I take a bag?", "I want another seat", "solve x + 2 = 4"]
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ":memory:", said))
