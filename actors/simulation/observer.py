"""What watches a system under simulation: names, the trace, every message's fate, and the faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors.kernel.mailbox import Mailbox
from agenticaiframework.actors.kernel.request import ActorFuture, Request

from .describe import describe, kind_of
from .injector import Armed, Noise
from .mailboxes import Ledger, WatchedBoundedMailbox, WatchedMailbox
from .violations import Violation

if TYPE_CHECKING:
    from .explore import ExploringChooser
    from .simulation import Simulation


class Watched:
    """One actor as the observer sees it: an incarnation of a label."""

    __slots__ = (
        "address",
        "alive",
        "armed",
        "handled",
        "label",
        "ledger",
        "number",
        "place",
        "ref",
    )

    def __init__(self, label: str, ref: Any, number: int) -> None:
        self.label = label
        self.ref = ref
        self.number = number
        self.ledger = Ledger()
        self.armed: list[Armed] | None = None
        #: Where what it leaves unhandled goes, if it has such a place.
        self.address: Any = None
        #: What it must be the only live incarnation of.
        self.place: tuple[int, Any] | None = None
        self.alive = True
        self.handled = 0


class SimObserver:
    """The observer of a system: see `actors.scheduler.Observer`. Owned by the run's thread."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._watched: dict[int, Watched] = {}
        self._numbers: dict[str, int] = {}
        self._live_by_place: dict[tuple[int, Any], int] = {}
        self._armed: dict[str, list[Armed] | None] = {}
        #: Label -> what its incarnations left unhandled.
        self.left: dict[str, Ledger] = {}
        self._asks: list[Any] = []
        self._asks_limit = 1024
        self._scheduler: Any = None
        self._random = random.Random(f"turns {sim.seed}")
        self._explorer: ExploringChooser | None = None
        #: Whether some fault may hit a message.
        self._may_disturb = bool(sim.plan.faults)
        self._add_event = sim.trace.event_adder()
        self.violations: list[Violation] = []
        self.messages = 0
        #: Label -> messages handled, over all incarnations.
        self.handled: dict[str, int] = {}
        #: Messages that became dead letters, by identity; kept alive so that identity means it.
        self.dead: dict[int, Any] = {}

    def attach(self, system: Any) -> None:
        """Watch *system* from now on; before its first actor."""
        scheduler = system.scheduler
        scheduler.observer = self
        self._scheduler = scheduler
        self._explorer = self._sim.explorer
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
        after = SimObserver(self._sim)
        after.violations = self.violations
        after.messages = self.messages
        after.handled = self.handled
        after._numbers = self._numbers
        after._armed = self._armed
        return after

    def violation(self, rule: str, detail: str) -> None:
        """Note that an invariant does not hold."""
        self.violations.append(Violation(rule, detail, self._sim.loop.time()))

    # -- called by the kernel --------------------------------------------------------------------

    def on_spawn(self, ref: Any, parent: Any) -> None:
        sim = self._sim
        label = sim.labels.add(ref)
        above = sim.labels.of(parent)
        number = self._numbers[label] = self._numbers.get(label, 0) + 1
        watched = self._watched[ref.pid] = Watched(label, ref, number)
        sim.trace.add("spawn", label, above, f"incarnation {number}" if number > 1 else "")
        actor = ref._actor
        if actor._ext is not None:
            watched.address = actor._ext.mailbox_to
        watched.place = place = _place_of(ref, parent, watched.address)
        if place is not None:
            alive = self._live_by_place[place] = self._live_by_place.get(place, 0) + 1
            if alive > 1:
                self.violation(
                    "one live incarnation", f"{alive} of {label} under {above or 'no parent'}"
                )
        injector = sim.injector
        if label not in self._armed:
            self._armed[label] = injector.armed_for(label)
        watched.armed = self._armed[label]
        injector.at_start(actor, label)
        policy: Mailbox = actor.mailbox
        if policy.capacity is None:
            mailbox: Any = WatchedMailbox(actor, watched.ledger, self._sent)
        else:
            mailbox = WatchedBoundedMailbox(actor, policy, watched.ledger, self._sent)
        mailbox.owner = watched
        # What came before the launch, from another thread or from the constructor.
        for item in actor._mailbox or ():
            mailbox.append(item)
        actor._mailbox = mailbox

    def _sent(self, mailbox: Any, item: Any) -> None:
        watched: Watched = mailbox.owner
        current = self._scheduler.current
        sender = "" if current is None else self._watched[current._ref.pid].label
        explorer = self._explorer
        step = -1 if explorer is None else explorer.sent(watched.ref._actor)
        if self.left and watched.label in self.left:
            self.left[watched.label].forget(item)  # it comes again, to the next incarnation
        watched.ledger.pending.append((item, sender, step))
        if isinstance(item, _ASKS):
            self._asks.append(item)
            if len(self._asks) > self._asks_limit:
                self._asks = [ask for ask in self._asks if _is_open(ask)]
                self._asks_limit = max(1024, 2 * len(self._asks))

    def on_deliver(
        self, actor: Any, message: Any, request: Any, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        sim = self._sim
        watched = self._watched[actor._ref.pid]
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
        if sim.detailed:
            what = describe(message, names=sim.labels.or_none)
        else:
            what = kind_of(message)
        self._add_event((sim.loop.time(), "handle", label, sender, what))
        if self._may_disturb:
            receive = self._disturb(watched, actor, request, sender, receive)
        if sim.detailed and request is not None:
            receive = self._see_reply(label, sender, receive)
        return receive

    def _disturb(
        self,
        watched: Watched,
        actor: Any,
        request: Any,
        sender: str,
        receive: Callable[[Any], Any],
    ) -> Callable[[Any], Any]:
        injector = self._sim.injector
        if injector.partitioned and injector.separated(watched.label, sender or "outside"):
            return self._lose(watched, request)
        if watched.armed is not None:
            return injector.at_message(watched, watched.armed, actor, request, receive)
        return receive

    def on_end(self, ref: Any, reason: Any) -> None:
        sim = self._sim
        watched = self._watched.get(ref.pid)
        if watched is None:
            return
        watched.alive = False
        if watched.place is not None:
            self._live_by_place[watched.place] -= 1
        why = describe(reason, names=sim.labels.or_none)
        sim.trace.add("end", watched.label, "", sim.labels.scrub(why))
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
        """Add what everybody has handled to the totals."""
        for watched in self._watched.values():
            self._count(watched)

    def may_handle_now(self) -> bool:
        """Choose whether an idle actor handles a message inside another's turn, or in its own."""
        if self._explorer is not None:
            return False  # the order that it explores is that of turns
        return self._sim.loop.chooser is None or self._random.random() < 0.5

    def on_signal(self, target: Any, sender: Any, reason: Any) -> None:
        if self._explorer is not None and target._actor is not None:
            self._explorer.signalled(target._actor)

    # -- the rest --------------------------------------------------------------------------------

    def _dead_letter(self, letter: Any) -> None:
        self.dead[id(letter.message)] = letter.message
        recipient = self._sim.labels.of_text(str(letter.recipient))
        self._sim.trace.add("dead", recipient, "", kind_of(letter.message))

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
        sim = self._sim

        def answer(value: Any) -> Any:
            sim.trace.add("reply", label, asker, describe(value, names=sim.labels.or_none))
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
    """Whether an ask has neither an answer nor an error, and somebody waits for it."""
    return ask.asker_waiting if isinstance(ask, Request) else ask._result is None


def _ignore(message: Any) -> None:
    """Throw away a message that means nothing."""
