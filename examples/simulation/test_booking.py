"""The booking agents under test: `pytest examples/simulation` finds the double booking.

`test_nobody_flies_without_a_seat` fails, as it should. Passengers come one after the other, so without
faults all is well; the kit finds the late answer that lets two of them overlap, shrinks what it
found to that one fault, prints the code that repeats it, and saves it with a sequence diagram under
``.simulation/``. Run it again from there:

    pytest examples/simulation \\
        --sim-replay .simulation/test_booking.test_nobody_flies_without_a_seat.json
"""

from __future__ import annotations

import asyncio
from typing import Any

from booking import FixedFlight, Flight, booker

from agenticaiframework.testing import Faults, Kill, LateAnswer, Simulation, Slow, simulate

SEATS = 2


async def sell(sim: Simulation, flight_class: Any) -> None:
    """Three passengers for two seats, one after the other, through two bookers."""
    flight = sim.system.start(flight_class, SEATS, _name="flight")
    bookers = [booker("web", flight), booker("phone", flight)]
    passengers = ["ada", "bob", "cy"]

    async def arrive(number: int) -> Any:
        await asyncio.sleep(number)
        return await sim.attempt(bookers[number % 2].ask(passengers[number], timeout=30))

    outcomes = await asyncio.gather(*(arrive(number) for number in range(3)))
    aboard = await sim.attempt(flight.request("who flies?", timeout=30))
    if aboard.ok:
        flying = aboard.value
        sim.expect(len(flying) <= SEATS, "no seat is sold twice", f"{flying} on {SEATS} seats")
        for passenger, outcome in zip(passengers, outcomes, strict=True):
            if outcome.ok and outcome.value == "booked":
                sim.expect(
                    passenger in flying, "who has booked flies", f"{passenger} is not aboard"
                )


FAULTS = Faults(kinds=(Kill, Slow, LateAnswer))


@simulate(runs=300, faults=FAULTS)
async def test_nobody_flies_without_a_seat(sim: Simulation) -> None:
    """Fails: between the question and the taking another booker may come."""
    await sell(sim, Flight)


@simulate(runs=300, faults=FAULTS)
async def test_the_fixed_flight_sells_each_seat_once(sim: Simulation) -> None:
    """Passes, also with bookers and flight that are killed, slow, or late."""
    await sell(sim, FixedFlight)
