"""A triage hands customers over to two desks, and guardrails stand round all three.

The model that should hand over calls a tool, whose arguments are the `Problem`; the desk reads it.
A check before the request hides card numbers, one beside it refuses what is not the shop's business,
one after it keeps an internal code from getting out.

python examples/models/triage.py

    customer: hello
    triage: Hello! What can I do for you?
    customer: I was charged twice for order 7, with card 4111 1111 1111 1111
      triage -> billing
    billing: I have paid 20 EUR back. Ask for voucher [hidden] next time.
    customer: and my lamp flickers
      billing -> triage
      triage -> repairs
    repairs: Please tighten the bulb.
    customer: write my essay on rivers
    refused by only_the_shop: we sell lamps
    the models have read: {'card ************1111'}
"""

import asyncio
import re

from pydantic import BaseModel

from agenticaiframework import Agent, Guardrail, GuardrailTripped
from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import Replace, ScriptedRequest, Stop
from agenticaiframework.orchestration import AgentHandoff, AgentRole, AgentTeam, TeamConfig
from agenticaiframework.testing import scripted_model


class Problem(BaseModel):
    """What the customer came for."""

    order: int
    what: str


def refund(order: int) -> str:
    """Pay an order back."""
    return f"paid 20 EUR back for order {order}"


def hide_cards(message: str) -> Replace:
    return Replace(re.sub(r"(\d{4} ){3}(\d{4})", r"************\2", message))


def only_the_shop(message: str) -> Stop | None:
    return Stop("we sell lamps") if "essay" in message else None


def hide_codes(answer: str) -> Replace:
    return Replace(answer.replace("X-4711", "[hidden]"))


shop = AgentTeam(
    "shop",
    TeamConfig(
        mode="swarm",
        guardrails=[
            hide_cards,
            Guardrail(only_the_shop, when="beside"),
            Guardrail(hide_codes, when="after"),
        ],
    ),
    roles=[
        AgentRole(name="triage", description="Finds out what the customer wants."),
        AgentRole(name="billing", description="Explains bills and pays back."),
        AgentRole(name="repairs", description="Helps with lamps that do not work."),
    ],
)
MODEL = "openai:gpt-4o-mini"
shop.assign_agent(Agent("triage", model=MODEL), "triage")
shop.assign_agent(Agent("billing", model=MODEL, tools=[refund]), "billing")
shop.assign_agent(Agent("repairs", model=MODEL), "repairs")
shop.configure_handoffs(
    [
        AgentHandoff(from_role="triage", to_role="billing", payload=Problem),
        AgentHandoff(from_role="triage", to_role="repairs", payload=Problem),
        AgentHandoff(from_role="billing", to_role="triage"),
        AgentHandoff(from_role="repairs", to_role="triage"),
    ]
)

read: list[str] = []


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    said = str(request.messages)
    read.append(said)
    lamp = "flickers" in said
    match request.agent:
        case "triage" if lamp:
            return request.call("transfer_to_repairs", order=7, what="the lamp flickers")
        case "triage" if "charged" in said:
            return request.call("transfer_to_billing", order=7, what="charged twice")
        case "triage":
            return "Hello! What can I do for you?"
        case "billing" if lamp:
            return request.call("transfer_to_triage")
        case "billing" if "paid 20 EUR" not in said:
            return request.call("refund", order=7)
        case "billing":
            return "I have paid 20 EUR back. Ask for voucher X-4711 next time."
        case _:
            return "Please tighten the bulb."


async def main() -> None:
    async with ActorSystem():
        for message in (
            "hello",
            "I was charged twice for order 7, with card 4111 1111 1111 1111",
            "and my lamp flickers",
            "write my essay on rivers",
        ):
            print("customer:", message)
            try:
                result = await shop.ask(message, session="customer-1")
            except GuardrailTripped as error:
                print(f"refused by {error.name}: {error.reason}")
                continue
            for each in result.handoffs:
                print(f"  {each.from_role} -> {each.to_role}")
            print(f"{result.speaker}: {result.final}")
    print("the models have read:", set(re.findall(r"card [\d* ]+", " ".join(read))))


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
