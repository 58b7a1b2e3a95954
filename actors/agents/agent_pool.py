"""The pool: the actor that stands for an agent which handles several messages at once.

It is what the agent's address leads to, and owns at most `concurrency` incarnations, each a
`PooledActor` that handles one message at a time. A message goes from the pool's mailbox to a free
incarnation as it is, with its request, so that its answer and its errors are those of a single
actor. While all are busy, messages wait in the pool's mailbox by its policy.

Lost: several handlers as tasks within one actor, which a crash, a kill or a handler that swallows its
cancellation would hit together; a mailbox that several actors take from, because a message would then
belong to no incarnation at the moment that one ends; actors behind a router, each with a mailbox of
its own, where a message waits behind a slow one while others idle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..actor import Actor
from ..errors import ActorDied, ActorExit, Ignore, StartFailed
from ..kernel import handing_on, lifecycle
from ..kernel.cell import current_request, exit_reason_of, home_of, put
from ..kernel.delivery import is_ask
from ..kernel.exit_signals import unlink
from ..kernel.pykka_seam import ActorStop, log_failure
from ..kernel.starting import spawn, start_link
from ..looks import is_a
from ..reasons import NORMAL, is_normal
from .agent_actor import AgentSpec
from .pooled_actor import FREED, PooledActor
from .session_lanes import SessionLanes, session_of

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from ..ref import ActorRef
    from ..system.system import ActorSystem

IDLE_S: Final = 30.0
"""An incarnation that had nothing to do for so long, up to twice that, is ended; the last one stays.

Long beside the pauses in the traffic of a service, in which a start with a hook would be paid again."""


CROWDED_S: Final = 0.25
"""How long cancelled work may clean up while others wait for its place; else it is the system's
`cancel_grace_s`. Short, so that any number of handlers that do not obey cost the others little; what is
left behind may still end what it does, and only its messages are dropped."""


class PoolHome(Protocol):
    """The address that a pool belongs to."""

    name: str
    system: ActorSystem
    incarnation: int
    """How many incarnations there were in a row: raised when one takes the place of one that crashed."""
    pool: AgentPool | None

    def take_back(self, items: Iterable[Any], never_started: Any = None, /) -> None:
        """Keep *items* for the next incarnation, before all others."""
        ...

    def lose(self, item: Any, reason: Any, /) -> None:
        """*item* is not handled: fail it if it is a request, else make a dead letter of it."""
        ...


class PoolPlace:
    """One incarnation in a pool. Owned by the pool; it is where the kernel gives back what that leaves."""

    __slots__ = (
        "born_at",
        "cell",
        "item",
        "number",
        "pool",
        "resting",
        "retired",
        "served",
        "session",
        "started_for",
        "starting",
        "turns",
        "unstarted",
    )

    cell: ActorRef[Any]
    kept: tuple[Any, ...] = ()
    """What is kept for a next incarnation: nothing, since it goes back to the pool."""

    def __init__(self, pool: AgentPool, number: int) -> None:
        self.pool = pool
        self.number = number
        self.item: Any = None
        """The message that it has."""
        self.session: str | None = None
        """The session that this belongs to, where those have one message in hand at a time."""
        self.started_for: Any = None
        """The message that it is started for, which another may be free for before."""
        self.turns = 0
        """How many messages it has been handed."""
        self.starting = False
        """Whether its `on_start` has not succeeded yet."""
        self.resting = False
        """Whether it has been free since the last look for idle ones."""
        self.retired = False
        """Whether the pool has told it to end, because it was idle."""
        self.born_at = pool.system.clock()
        self.served = False
        """Whether it has handled a message to its end."""
        self.unstarted: Any = None
        """Why it did not start, if it did not."""

    def enter(self, ref: ActorRef[Any]) -> None:
        """The incarnation has been made, and is about to start."""
        self.cell = ref
        self.pool.place_taken(self)

    def free(self) -> None:
        """It has nothing to do any more. Safe from any thread."""
        self.pool.home.system.scheduler.post_or_call(self.pool.place_freed, self)

    def take_back(self, items: Iterable[Any], never_started: Any) -> None:
        """The incarnation ends, and its links have not been told yet; *items* it had not begun."""
        self.unstarted = never_started
        self.pool.place_ends(self, items)

    def incarnation_ended(self) -> None:
        """The incarnation has ended, and its links and monitors have been told."""
        self.pool.place_ended(self)


class IncarnationFailed:
    """Told to a supervisor that restarts each child alone: one incarnation of a child's pool has ended.

    The others serve on. *pool* is the child's ref, *incarnation* the ref of the one that ended with
    *reason*, *ran_s* seconds after its start; *served* tells whether it has handled a message to its
    end. Until `replace` is called the pool does without it.
    """

    __slots__ = ("_pool", "incarnation", "pool", "ran_s", "reason", "served")

    def __init__(self, pool: AgentPool, place: PoolPlace, ran_s: float) -> None:
        self._pool = pool
        self.pool: ActorRef[Any] = pool.actor_ref
        self.incarnation = place.cell
        self.reason = place.cell.exit_reason
        self.ran_s = ran_s
        self.served = place.served

    def __repr__(self) -> str:
        return f"<{self.incarnation.label} failed: {self.reason!r}>"

    def replace(self) -> None:
        """Let another incarnation take its place."""
        self._pool.decided(self, True)

    def give_up(self) -> None:
        """Let its place stay empty; with the last one the pool ends with the same reason."""
        self._pool.decided(self, False)


class AgentPool(Actor):
    """What an agent with a concurrency above one is in a system; see the module.

    All state belongs to the loop's thread of its system. Its incarnations are linked to it, and end
    with it in whatever way it ends; the link is undone before the end of one reaches the pool.
    """

    reports_children = True

    def __init__(self, spec: AgentSpec, home: PoolHome) -> None:
        super().__init__()
        self._spec = spec
        self._starts_slowly = spec.on_start is not None
        """Whether a message is better kept than given to an incarnation that starts."""
        self.home = home
        self.mailbox = spec.mailbox
        self._places: dict[int, PoolPlace] = {}
        """The incarnations that have not ended, by number."""
        self._free: list[PoolPlace] = []
        """Those that have nothing to do, the one that became free last at the end."""
        self._starting = 0
        self._pending: list[Any] = []
        """Messages that incarnations are being started for, oldest first."""
        self._lanes = SessionLanes() if spec.in_sessions else None
        """What waits because its session is in hand; None where sessions mean nothing."""
        self._given_up = 0
        """Places that stay empty: of those that crashed, until the supervisor says otherwise."""
        self._idle_timer: TimerHandle | None = None
        self._serves = False
        """Whether its first incarnation has started."""
        self._asks_supervisor = False
        """Whether a supervisor decides about each incarnation that crashes."""
        self.cancels = False
        """Whether an end with the reason ``normal`` cancels what runs, and does not wait for it."""
        handing_on.is_answered_by_others(self._ref)
        home.pool = self

    # -- looking -------------------------------------------------------------------------------

    @property
    def concurrency(self) -> int:
        """How many incarnations there may be."""
        return self._spec.concurrency

    @property
    def room(self) -> int:
        """How many more incarnations could be started now."""
        return max(0, self.concurrency - self._given_up - len(self._places))

    @property
    def busy(self) -> int:
        """How many incarnations have a message now."""
        return sum(1 for place in list(self._places.values()) if place.item is not None)

    @property
    def cells(self) -> list[ActorRef[Any]]:
        """The incarnations that have not ended."""
        return [place.cell for place in list(self._places.values())]

    def handlers_of(self, request: Any) -> list[ActorRef[Any]]:
        """Return the incarnations that all must get on before one of them could answer *request*."""
        session = self._lanes.waits(request) if self._lanes is not None else None
        for place in list(self._places.values()):
            if place.item is request or (session is not None and place.session == session):
                return [place.cell]  # it is in hand: that others are free does not help it
        return [] if self.room else self.cells

    @property
    def _workload(self) -> tuple[int, int]:  # type: ignore[override]
        """How many incarnations are busy, and how many there may be."""
        return self.busy, self.concurrency

    # -- its own life --------------------------------------------------------------------------

    def supervised_by(self, parent: Actor) -> None:
        """Let *parent* decide about each incarnation that crashes, if it restarts children alone."""
        self._asks_supervisor = bool(getattr(parent, "replaces_incarnations", False))

    def on_start(self) -> Any:
        if self._starts_slowly:
            return self._start_first()
        self._free.append(self._spawn(None))
        self._serves = True
        return None

    async def _start_first(self) -> None:
        """Start the first incarnation: the start of the pool fails as it does."""
        place = self._new_place()
        try:
            ref: Any = await start_link(
                self._ref,
                *self._blueprint(place),
                {},
                self._label(place),
                None,
                mailbox_to=place,
                incarnation=self._ref.incarnation,
            )
        except StartFailed as error:
            reason = error.reason
            raise reason if is_a(reason, Exception) else ActorExit(reason) from None
        if ref is None:
            raise Ignore
        self._free.append(place)
        self._serves = True

    async def on_stop(self, reason: Any) -> None:  # type: ignore[override]
        self._stop_looking()
        if reason == NORMAL and not self.cancels:
            self._finish_work()
        lanes = self._lanes
        handing_on.put_first(self._ref, [*self._pending, *(lanes.take_all() if lanes else ())])
        self._pending.clear()
        cells = self.cells
        if reason != NORMAL or self.cancels:
            killed = handing_on.was_killed(self._ref)
            for cell in cells:
                lifecycle.doom(cell, reason, kill=killed)
        for cell in cells:
            await lifecycle.wait_ended(cell, None)

    def _finish_work(self) -> None:
        """Let the incarnations end when what they have been given is done."""
        for place in self._places.values():
            if place.starting and self._pending:
                put(place.cell, self._pending.pop(0))
            put(place.cell, ActorStop())

    async def on_failure(self, *_exc_info: Any) -> None:  # type: ignore[override]
        await self.on_stop(exit_reason_of(self._ref))

    def hurry(self) -> None:
        """Give the last hooks of the incarnations a bounded time: what comes next waits for them."""
        for cell in self.cells:
            lifecycle.hurry(cell)

    def over(self) -> None:
        """The pool has ended: what is left of the incarnations goes at once."""
        self._stop_looking()
        for cell in self.cells:
            lifecycle.doom(cell, exit_reason_of(self._ref), kill=True)

    # -- messages ------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        ref = self._ref
        request = current_request(ref)
        if request is not None and not request.asker_waiting:
            # Withdrawn while it waited in the mailbox: its asker does not want this work done any more.
            self.system.dead_letter(message, ref.label, "withdrawn")
            return
        item = handing_on.take_in_hand(ref)
        if self._lanes is not None and not self._has_turn(self._lanes, item):
            return
        place = self._take_free()
        if place is not None:
            self._hand(place, item)
        elif self.room == 0:
            handing_on.put_first(ref, (item,))
            self._leave(item)
        elif not self._starts_slowly:
            self._hand(self._spawn(None), item)
        else:
            # It may be a while until the new incarnation has started, and another free before.
            self._pending.append(item)
            self._spawn(item)
        self._fill_up()

    def _has_turn(self, lanes: SessionLanes, item: Any) -> bool:
        """Tell whether *item* may be begun: not while its session is in hand, which it waits for then."""
        session = session_of(item)
        if session is None or lanes.enter(session, item):
            return True
        capacity = self.mailbox.capacity
        if capacity is not None and lanes.kept > capacity:
            self.home.lose(lanes.withdraw(session), "mailbox_full")
        return False

    def _leave(self, item: Any) -> None:
        """*item* is over, or not begun after all: the next of its session may be."""
        session = None if self._lanes is None else session_of(item)
        if session is not None:
            self._follow(session)

    def _follow(self, session: str) -> None:
        """Have the next message of *session* begun before what came later."""
        following = None if self._lanes is None else self._lanes.leave(session)
        if following is not None:
            self._pending.append(following)

    def _take_free(self) -> PoolPlace | None:
        while self._free:
            place = self._free.pop()
            if place.cell.is_alive():
                return place
        return None

    def _hand(self, place: PoolPlace, item: Any) -> None:
        self._note_handed(place, item)
        cell = place.cell
        put(cell, item)
        put(cell, FREED)

    def _note_handed(self, place: PoolPlace, item: Any) -> None:
        place.item = item
        if self._lanes is not None:
            place.session = session_of(item)
        place.turns += 1
        place.resting = False

    def _fill_up(self) -> None:
        """Take no further message until there is an incarnation for it."""
        if not self._free and self.room == 0:
            handing_on.fill_up(self._ref)

    def place_freed(self, place: PoolPlace) -> None:
        """An incarnation has come to the end of what it was handed, or has started."""
        if self._places.get(place.number) is not place:
            return
        if place.starting:
            place.starting = False
            place.started_for = None
            self._starting -= 1
        elif place.item is not None:
            place.served = True
        place.item = None
        if not self._ref.is_alive():
            return
        self._session_over(place)
        while self._pending:
            item = self._pending.pop(0)
            if not is_ask(item) or item.asker_waiting:
                self._hand(place, item)
                return
            self.system.dead_letter(item.message, self.home.name, "withdrawn")
            self._leave(item)
        self._free.append(place)
        if self._idle_timer is None and len(self._places) > 1:
            self._look_again()
        handing_on.release(self._ref)

    def _session_over(self, place: PoolPlace) -> None:
        """What *place* had of a session has come to its end."""
        session, place.session = place.session, None
        if session is not None:
            self._follow(session)

    def withdraw(self, request: Any, timeout: BaseException | None) -> None:
        """The asker of *request* waits no more: cancel the work, if an incarnation has it."""
        for place in self._places.values():
            if place.item is request:
                lifecycle.cancel_work(place.cell, request, timeout)
                self._soon_make_room(place, place.turns, timeout)
                return

    def _soon_make_room(self, place: PoolPlace, turn: int, timeout: BaseException | None) -> None:
        # By its number: a timer that held the request would keep the agent, which it refers to.
        self.system.call_later(CROWDED_S, self._make_room, place, turn, timeout)

    def _make_room(self, place: PoolPlace, turn: int, timeout: BaseException | None) -> None:
        """Leave withdrawn work behind that has not ended yet, if others wait for its place."""
        if place.turns != turn or place.item is None or place.cell.ended:
            return
        if handing_on.is_crowded(self._ref):
            lifecycle.leave_work(place.cell, place.item, timeout)
        self._soon_make_room(place, turn, timeout)

    # -- incarnations --------------------------------------------------------------------------

    def _new_place(self) -> PoolPlace:
        number = next(n for n in range(1, self.concurrency + 1) if n not in self._places)
        return PoolPlace(self, number)

    def _blueprint(self, place: PoolPlace) -> tuple[type[Actor], tuple[Any, ...]]:
        """Return the class of the incarnation at *place*, and its arguments."""
        return PooledActor, (self._spec, place)

    def _label(self, place: PoolPlace) -> str:
        return f"{self.home.name}[{place.number}]"

    def place_taken(self, place: PoolPlace) -> None:
        """An incarnation is about to start."""
        self._places[place.number] = place

    def _spawn(self, item: Any) -> PoolPlace:
        """Start an incarnation, for *item* if its start takes a while, and return its place."""
        place = self._new_place()
        ref: ActorRef[Any] = spawn(
            home_of(self._ref),
            *self._blueprint(place),
            {},
            self._label(place),
            self._ref,
            mailbox_to=place,
            incarnation=max(self.home.incarnation, self._ref.incarnation),
        )
        if self._starts_slowly:
            place.starting = True
            place.started_for = item
            self._starting += 1
            put(ref, FREED)
        return place

    def place_ends(self, place: PoolPlace, items: Iterable[Any]) -> None:
        """An incarnation ends abnormally: undo the link, so that its end is not the pool's."""
        unlink(self._ref, place.cell)
        if self._ref.ended:
            self.home.take_back(items)
        else:
            handing_on.put_first(self._ref, items)

    def place_ended(self, place: PoolPlace) -> None:
        """An incarnation has ended: replace it, or leave that to the supervisor."""
        if self._places.get(place.number) is place:
            del self._places[place.number]
        if place in self._free:
            self._free.remove(place)
        if place.starting:
            self._starting -= 1
        ref = self._ref
        if place.retired or not self._serves or not ref.is_alive():
            return
        self._session_over(place)
        reason = place.cell.exit_reason
        parent = self.parent
        if parent is None:
            self._lost_unsupervised(place, reason)
        elif self._asks_supervisor:
            self._given_up += 1
            try:
                self._ask_supervisor(parent, place)
            except ActorDied:
                return  # this pool ends with it
        else:
            lifecycle.doom(ref, reason)
            return
        self._serve()

    def _ask_supervisor(self, parent: Any, place: PoolPlace) -> None:
        """Have *parent* decide about the next incarnation at *place*. Raises `ActorDied`."""
        parent.tell(IncarnationFailed(self, place, self.system.clock() - place.born_at))

    def _lost_unsupervised(self, place: PoolPlace, reason: Any) -> None:
        item, why = place.item, place.unstarted
        waits = [
            pending is place.started_for for pending in self._pending
        ]  # equality is the user's
        if why is not None and True in waits:
            # As with a single actor: the next start would fail as well.
            item = self._pending.pop(waits.index(True))
            self._leave(item)
            if is_ask(item):
                item.fail(ActorDied(self.home, why))
            else:
                self.system.dead_letter(item, self.home.name, why)
        if is_a(reason, Exception):
            asked = is_ask(item)
            self.system.incarnation_crashed(place.cell, reason, started=why is None, asked=asked)
            if why is not None or not asked:
                log_failure(place.cell, reason, has_record=True)
        if not is_normal(reason):
            self.home.incarnation += 1

    def _serve(self) -> None:
        """Start incarnations for the messages that none is being started for, and take more."""
        while self.room and len(self._pending) > self._starting:
            if not self._starts_slowly:
                self._hand(self._spawn(None), self._pending.pop(0))
            else:
                self._spawn(self._pending[self._starting])
        if self.room or self._free:
            handing_on.release(self._ref)

    def decided(self, failed: IncarnationFailed, again: bool) -> None:
        """The supervisor has decided about *failed*: whether another takes its place."""
        if again:
            self.place_restored()
        else:
            self.place_given_up(failed.reason)

    def place_restored(self) -> None:
        """The supervisor lets another incarnation take the place of one that has crashed."""
        if not self._ref.is_alive():
            return
        self._given_up -= 1
        self.home.incarnation += 1
        if not self._places:
            place = self._spawn(None)
            if not place.starting:
                self._free.append(place)
        self._serve()

    def place_given_up(self, reason: Any) -> None:
        """The place of an incarnation that has ended stays empty."""
        if self._given_up >= self.concurrency:
            lifecycle.doom(self._ref, reason)

    # -- idle ones -----------------------------------------------------------------------------

    def _look_again(self) -> None:
        self._idle_timer = self.system.call_later(IDLE_S, self._end_idle)

    def _stop_looking(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _end_idle(self) -> None:
        """End the incarnations that have been free since the last look, but for the last one."""
        self._idle_timer = None
        if not self._ref.is_alive():
            return
        left = len(self._places)
        for place in list(self._free):
            if not place.resting:
                place.resting = True
            elif left > 1:
                left -= 1
                place.retired = True
                self._free.remove(place)
                lifecycle.doom(place.cell, NORMAL)
        if left > 1:
            self._look_again()


__all__ = ["IDLE_S", "AgentPool", "IncarnationFailed", "PoolHome", "PoolPlace"]
