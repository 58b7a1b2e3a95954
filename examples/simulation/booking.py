"""Two agents book seats of one flight: the code that a user might have written, race included.

A `Booker` asks the flight whether a seat is free, has the customer charged, and takes the seat. Each
step is right; that another booker may come between the question and the taking is easy to overlook,
and no ordinary test will show it, because in a test the messages come in the same order every time.

`FixedFlight` shows what removes the race: the flight holds a seat for who asks first.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import Actor


class Flight(Actor):
    """Knows who sits where."""

    def __init__(self, seats: int) -> None:
        super().__init__()
        self.free = seats
        self.passengers: list[str] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case "is a seat free?":
                return self.free > 0
            case ("take", passenger):
                self.free -= 1
                self.passengers.append(passenger)
                return True
            case "who flies?":
                return list(self.passengers)
            case _:
                raise ValueError(f"a flight does not know {message!r}")


class FixedFlight(Flight):
    """Holds a seat from the question on, so that the answer stays true."""

    def on_receive(self, message: Any) -> Any:
        match message:
            case "is a seat free?":
                if self.free == 0:
                    return False
                self.free -= 1
                return True
            case ("take", passenger):
                self.passengers.append(passenger)
                return True
            case _:
                return super().on_receive(message)


async def charge(passenger: str) -> None:
    """Stands for a call to a payment service, whose answer takes its time."""
    await asyncio.sleep(0.1)


def booker(name: str, flight: Any) -> Agent:
    """Return an agent that books a seat for each passenger that it is asked to book."""

    async def book(passenger: str) -> str:
        if not await flight.request("is a seat free?"):
            return "sold out"
        await charge(passenger)
        await flight.request(("take", passenger))
        return "booked"

    return Agent(name, handler=book)
