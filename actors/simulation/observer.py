"""What watches a system under simulation: names, the trace, every message's fate, and the faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from agenticaiframework.actors.agents.agent_actor import AgentActor
from agenticaiframework.actors.agents.agent_pool import AgentPool
from agenticaiframework.actors.function_actor import FunctionActor
from agenticaiframework.actors.kernel.cell import (
    lasting_address,
    mailbox_policy_of,
    replace_mailbox,
)
from agenticaiframework.actors.kernel.future import ActorFuture
from agenticaiframework.actors.kernel.in_hand import IN_HAND
from agenticaiframework.actors.kernel.request import Request
from agenticaiframework.actors.messages import OwnMessage

from .armed import Armed
from .describe import describe, kind_of
from .explore import ExploringChooser
from .faults import Noise
from .injector import Injector
from .mailboxes import Ledger, watched_mailbox
from .state import RunState
from .violations import Violation
from .watched import Watched


class SimObserver:
    """The observer of a system: see `actors.kernel.home.Observer`. Owned by the run's thread."""

    def __init__(self, run: RunState, injector: Injector) -> None:
        self._run = run
        self._injector = injector
        self._watched: dict[int, Watched] = {}
        self._numbers: dict[str, int] = {}
        self._live_by_place: dict[tuple[int, Any], int] = {}
        self._armed: dict[str, list[Armed] | None] = {}
        #: Label -> what its incarnations left unhandled.
        self.left: dict[str, Ledger] = {}
        self._asks: list[Any] = []
        self._asks_limit = 1024
        self._scheduler: Any = None
        self._random = random.Random(f"turns {run.seed}")
        self._explorer: ExploringChooser | None = None
        #: Whether some fault may hit a message.
        self._may_disturb = bool(run.plan.faults)
        self._add_event = run.trace.event_adder()
        self.violations: list[Violation] = []
        self.messages = 0
        #: Label -> messages handled, over all incarnations.
        self.handled: dict[str, int] = {}
        #: The labels of actors that run no code of the user's.
        self.library: set[str] = set()
        #: Messages that became dead letters, by identity; kept alive so that identity means it.
        self.dead: dict[int, Any] = {}

    def attach(self, system: Any) -> None:
        """Watch *system* from now on; before its first actor."""
        scheduler = system.scheduler
        scheduler.observer = self
        self._scheduler = scheduler
        self._explorer = self._run.explorer
        system.dead_letters.subscribe(self._dead_letter)

    def live(self) -> Iterator[Watched]:
        """Yield the actors that live, in the order of their start."""
        return (watched for watched in self._watched.values() if watched.alive)

    def all(self) -> Iterator[Watched]:
        """Yield every actor that the run has seen."""
        return iter(self._watched.values())

    def next_boot(self) -> SimObserver:
        """Return the observer of the machine's next life; what was alive is gone."""
        self.count_all()
        after = SimObserver(self._run, self._injector)
        after.violations = self.violations
        after.messages = self.messages
        after.handled = self.handled
        after.library = self.library
        after._numbers = self._numbers
        after._armed = self._armed
        return after

    def violation(self, rule: str, detail: str) -> None:
        """Note that an invariant does not hold."""
        self.violations.append(Violation(rule, detail, self._run.loop.time()))

    # -- called by the kernel --------------------------------------------------------------------

    def on_spawn(self, ref: Any, parent: Any) -> None:
        run = self._run
        label = run.labels.add(ref)
        above = run.labels.of(parent)
        number = self._numbers[label] = self._numbers.get(label, 0) + 1
        watched = self._watched[ref.pid] = Watched(label, ref, number)
        if _of_library(ref.actor_class):
            self.library.add(label)
        run.trace.add("spawn", label, above, f"incarnation {number}" if number > 1 else "")
        watched.address = lasting_address(ref)
        watched.place = place = _place_of(ref, parent, watched.address)
        if place is not None:
            alive = self._live_by_place[place] = self._live_by_place.get(place, 0) + 1
            if alive > 1:
                self.violation(
                    "one live incarnation", f"{alive} of {label} under {above or 'no parent'}"
                )
        injector = self._injector
        # What strikes an agent at a message strikes the incarnation that handles it, not the pool that
        # hands it on.
        watched.of_pool = parent is not None and issubclass(parent.actor_class, AgentPool)
        if label not in self._armed:
            names = (label, above) if watched.of_pool else (label,)
            pool = issubclass(ref.actor_class, AgentPool)
            self._armed[label] = None if pool else injector.armed_for(*names)
        watched.armed = self._armed[label]
        injector.at_start(ref, label)
        if ref.actor_class.stands_for_remote:
            return  # what enters its mailbox leaves at once, and is handled on another node
        mailbox = watched_mailbox(ref, mailbox_policy_of(ref))
        mailbox.watch(watched.ledger, self._sent, watched)
        # With what came before the launch, from another thread or from the constructor.
        replace_mailbox(ref, mailbox)

    def _sent(self, mailbox: Any, item: Any) -> None:
        watched: Watched = mailbox.owner
        current = self._scheduler.current
        sender = "" if current is None else self._watched[current.pid].label
        explorer = self._explorer
        step = -1 if explorer is None else explorer.sent(watched.ref)
        if self.left and watched.label in self.left:
            self.left[watched.label].forget(item)  # it comes again, to the next incarnation
        watched.ledger.pending.append((item, sender, step))
        if isinstance(item, _ASKS):
            self._asks.append(item)
            if len(self._asks) > self._asks_limit:
                self._asks = [ask for ask in self._asks if _is_open(ask)]
                self._asks_limit = max(1024, 2 * len(self._asks))

    def on_deliver(
        self, cell: Any, message: Any, request: Any, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        if isinstance(message, (*IN_HAND, OwnMessage)):
            return receive  # no message of an actor, or one that was seen when its handling began
        run = self._run
        watched = self._watched[cell.pid]
        label = watched.label
        item = message if request is None else request
        entry = watched.ledger.handled(item)
        if entry is None and self.left and label in self.left:
            entry = self.left[label].forget(item)  # handed over from an earlier incarnation
        sender = ""
        if entry is not None:
            sender = entry[1]
            if self._explorer is not None:
                self._explorer.handled(entry[2])
        if message.__class__ is Noise:
            return _ignore
        watched.handled += 1
        if run.detailed:
            what = describe(message, names=run.labels.or_none)
        else:
            what = kind_of(message)
        self._add_event((run.loop.time(), "handle", label, sender, what))
        if self._may_disturb:
            receive = self._disturb(watched, cell, request, sender, receive)
        if run.detailed and request is not None:
            receive = self._see_reply(label, sender, receive)
        return receive

    def on_call(self, cell: Any, message: Any, context: Any, call: Callable[[], Any]) -> Any:
        return call()

    def _disturb(
        self,
        watched: Watched,
        cell: Any,
        request: Any,
        sender: str,
        receive: Callable[[Any], Any],
    ) -> Callable[[Any], Any]:
        injector = self._injector
        parted = injector.partitioned and not watched.of_pool
        library = watched.label in self.library
        if parted and injector.separated(watched.label, sender or "outside", library=library):
            return self._lose(watched, request)
        if watched.armed is not None:
            return injector.at_message(watched, watched.armed, cell, request, receive)
        return receive

    def on_end(self, ref: Any, reason: Any) -> None:
        run = self._run
        watched = self._watched.get(ref.pid)
        if watched is None:
            return
        watched.alive = False
        if watched.place is not None:
            self._live_by_place[watched.place] -= 1
        why = describe(reason, names=run.labels.or_none)
        run.trace.add("end", watched.label, "", run.labels.scrub(why))
        self._count(watched)
        if watched.ledger.pending:
            self.left.setdefault(watched.label, Ledger()).inherit(watched.ledger)
        for item, sender in watched.ledger.out_of_order:
            self.violation(
                "order per pair",
                f"{watched.label} handled {kind_of(item)} from {sender or 'outside'} too late",
            )

    def _count(self, watched: Watched) -> None:
        """Add what an incarnation has handled to the totals."""
        count, watched.handled = watched.handled, 0
        if count:
            self.messages += count
            self.handled[watched.label] = self.handled.get(watched.label, 0) + count

    def count_all(self) -> None:
        """Add what all actors have handled to the totals."""
        for watched in self._watched.values():
            self._count(watched)

    def may_handle_now(self) -> bool:
        """Choose whether an idle actor handles a message inside another's turn, or in its own."""
        if self._explorer is not None:
            return False  # the order that it explores is that of turns
        return self._run.loop.chooser is None or self._random.random() < 0.5

    def on_signal(self, target: Any, sender: Any, reason: Any) -> None:
        if self._explorer is not None and not target.ended:
            self._explorer.signalled(target)

    # -- the rest --------------------------------------------------------------------------------

    def _dead_letter(self, letter: Any) -> None:
        self.dead[id(letter.message)] = letter.message
        recipient = self._run.labels.of_text(str(letter.recipient))
        self._run.trace.add("dead", recipient, "", kind_of(letter.message))

    def _lose(self, watched: Watched, request: Any) -> Callable[[Any], Any]:
        from agenticaiframework.actors.errors import ActorDied

        def lost(message: Any) -> None:
            if request is None:
                watched.ref.system.dead_letter(message, watched.label, "noconnection")
            else:
                request.fail(ActorDied(watched.ref, "noconnection"))

        return lost

    def _see_reply(
        self, label: str, asker: str, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        run = self._run

        def answer(value: Any) -> Any:
            run.trace.add("reply", label, asker, describe(value, names=run.labels.or_none))
            return value

        async def later(work: Any) -> Any:
            return answer(await work)

        def see(message: Any) -> Any:
            result = receive(message)
            return later(result) if hasattr(result, "send") else answer(result)

        return see

    def open_asks(self) -> list[Any]:
        """Return the requests that have no end yet."""
        return [ask for ask in self._asks if _is_open(ask)]


_ASKS = (Request, ActorFuture)
_PACKAGE = f"{__name__.partition('.')[0]}."
_RUN_WHAT_THEY_ARE_GIVEN = (AgentActor, AgentPool, FunctionActor)
"""The library's actors that stand for the user's: an agent, its pool, a supervised function or task."""


def _of_library(cls: type) -> bool:
    """Whether an actor's class is the library's own, and not one that runs what the user has given it."""
    return cls.__module__.startswith(_PACKAGE) and not issubclass(cls, _RUN_WHAT_THEY_ARE_GIVEN)


def _place_of(ref: Any, parent: Any, address: Any) -> tuple[int, Any] | None:
    """Return what *ref* is one incarnation of; None if it stands for itself alone.

    That is its address; else its name under one life of its parent: a killed supervisor's subtree
    dies by itself, and may take longer than its parent needs to put another in its place.
    """
    if address is not None:
        return 0, address
    if parent is not None and ref.name is not None:
        return parent.pid, ref.name
    return None


def _is_open(ask: Any) -> bool:
    """Whether an ask has neither an answer nor an error, and is still waited for."""
    return ask.asker_waiting if isinstance(ask, Request) else not ask.answered


def _ignore(message: Any) -> None:
    """Throw away a message that means nothing."""
