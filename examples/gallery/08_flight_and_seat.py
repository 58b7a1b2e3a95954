"""A flight and a seat, under one budget (pydantic-ai's flight booking).

The search agent reads a page with a second agent as its tool; a guardrail sends a flight that starts
elsewhere back to it, with the reason. One limit of requests holds for all three agents together.

python examples/gallery/08_flight_and_seat.py

    Flight(number='AK2', price=250, origin='SFO', to='ANC')
    Seat(row=1, letter='A')
    5 requests
    booking may not spend more than 2 requests
    restarts: 0
"""

import asyncio
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel
from pydantic_ai import RunContext

from agenticaiframework import Agent, Guardrail
from agenticaiframework.actors import UsageLimitReached, causes_of, metered
from agenticaiframework.models import Repair, ScriptedRequest
from agenticaiframework.orchestration import AgentSupervisor
from agenticaiframework.testing import scripted_model


class Flight(BaseModel):
    number: str
    price: int
    origin: str
    to: str


class NoFlight(BaseModel):
    """No flight fits."""


class Seat(BaseModel):
    row: int
    letter: str


@dataclass
class Trip:
    origin: str
    to: str
    on: date
    page: str


TRIP = Trip(
    "SFO",
    "ANC",
    date(2027, 1, 10),
    "AK1 from OAK to ANC for 100; AK2 from SFO to ANC for 250; AK3 from SFO to ANC for 300",
)


def read_page(ctx: RunContext[Trip]) -> str:
    """Read the airlines' page."""
    return ctx.deps.page


def right_origin(answer: Flight | NoFlight) -> Repair | None:
    if isinstance(answer, Flight) and answer.origin != TRIP.origin:
        return Repair(f"the flight has to start in {TRIP.origin}, not in {answer.origin}")
    return None


MODEL = "openai:gpt-4o"
extractor = Agent(
    "extractor",
    model=MODEL,
    instructions="Extract all flights of the page.",
    tools=[read_page],
    deps=TRIP,
    output_type=list[Flight],
)
search = Agent(
    "search",
    model=MODEL,
    instructions="Find the cheapest flight for the trip.",
    tools=[extractor],
    output_type=[Flight, NoFlight],
    guardrails=[Guardrail(right_origin, when="after")],
)
seats = Agent("seats", model=MODEL, instructions="Read a seat of a wish.", output_type=Seat)
desk = AgentSupervisor("desk")
for agent in (extractor, search, seats):
    desk.add_child(agent.name, agent)


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    flights = [
        {"number": "AK1", "price": 100, "origin": "OAK", "to": "ANC"},
        {"number": "AK2", "price": 250, "origin": "SFO", "to": "ANC"},
        {"number": "AK3", "price": 300, "origin": "SFO", "to": "ANC"},
    ]
    match request.agent:
        case "search" if not request.results:
            return request.call("extractor", request="the flights of the page")
        case "search":
            wrong = "has to start in SFO" in str(request.messages)
            return flights[1] if wrong else flights[0]
        case "extractor":
            return flights
        case _:
            return {"row": 1, "letter": "A"}


async def main() -> None:
    async with desk:
        with metered("booking", usage_limits={"request_limit": 15}) as meter:
            print(repr(await search.ask(f"{TRIP.origin} to {TRIP.to} on {TRIP.on}")))
            print(repr(await seats.ask("front row, window")))
        print(meter.spent.requests, "requests")

        try:
            with metered("booking", usage_limits={"request_limit": 2}):
                await search.ask(f"{TRIP.origin} to {TRIP.to} on {TRIP.on}")
        except Exception as error:
            (limit,) = (each for each in causes_of(error) if isinstance(each, UsageLimitReached))
            print(f"{limit.name} may not spend more than", limit.spent.requests, "requests")
        print("restarts:", sum(desk.child(a.name).restarts for a in (extractor, search)))


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
