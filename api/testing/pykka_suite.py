"""What pykka's own test suite needs in order to run over the dispatchers of this library."""

from __future__ import annotations

import pykka

from agenticaiframework.actors import Actor, ActorFuture


class EventLoopActor(Actor):
    """Runs on the loop of its system; with no running loop that is one in a background thread."""

    dispatcher = "event_loop"


class ThreadActor(Actor):
    """Runs in the bounded thread pool of its system."""

    dispatcher = "thread"


class PinnedActor(Actor):
    """Runs in a thread of its own, as `pykka.ThreadingActor` does."""

    dispatcher = "pinned"


class ProcessActor(Actor):
    """Runs its handler in a child process, so whatever it is given has to be picklable."""

    dispatcher = "process"


def pykka_runtimes() -> dict[str, tuple[type[Actor], type[pykka.Future[object]]]]:
    """Return the actor class and the future class of each dispatcher that keeps pykka's contract.

    ``process`` is not among them: pykka's tests hand events, locks and local classes to their
    actors, which cannot cross the border of a process. `ProcessActor` is there to try what can.
    """
    return {
        "event_loop": (EventLoopActor, ActorFuture),
        "thread": (ThreadActor, ActorFuture),
        "pinned": (PinnedActor, ActorFuture),
    }
