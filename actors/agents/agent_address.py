"""An agent's address in one system: where its messages go, and what starts its actor for them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..actor import Actor
from ..errors import ActorDied
from ..kernel import lifecycle
from ..kernel.cell import put
from ..kernel.delivery import refuse
from ..kernel.pykka_seam import ActorStop
from ..kernel.running import running_here
from ..kernel.starting import spawn
from .address import Address
from .agent_actor import AgentActor, AgentSpec
from .agent_pool import AgentPool
from .agent_request import AgentRequest
from .errors import AgentStopped, AgentTimeout
from .node_pool import NodePool
from .owner_link import OwnerLink
from .pooled_actor import FreedActor

if TYPE_CHECKING:
    from ..ref import ActorRef
    from ..system.system import ActorSystem
    from .address_book import AddressBook
    from .directory import Named


class AgentAddress(Address):
    """An agent's address in one system: starts the actor on demand unless a supervisor owns it.

    An agent that is no longer referenced must not leave its idle actor behind. What it has been told
    before is done first, also by an incarnation that is started for it.
    """

    __slots__ = ("_agent", "_book", "_done_for", "_owner", "_spec", "pool")

    def __init__(
        self,
        agent: Named,
        system: ActorSystem,
        spec: AgentSpec,
        book: AddressBook[AgentAddress],
    ) -> None:
        super().__init__(agent.name, system, mailbox=spec.mailbox)
        self._spec = spec
        self._owner: ActorRef[Any] | None = None
        self._done_for = False
        """Whether the agent is gone, and all has arrived that it was told."""
        # Weak, because it holds the addresses in all other systems.
        self._book = weakref.ref(book)
        self._agent = OwnerLink(agent, _agent_gone)
        self._agent.home = self
        self.pool: AgentPool | None = None
        """The pool that stands for the agent now, if it is one that handles several at once."""

    @property
    def owner(self) -> ActorRef[Any] | None:
        """The supervisor that decides about the next incarnation; it may have ended."""
        return self._owner

    @owner.setter
    def owner(self, owner: ActorRef[Any] | None) -> None:
        before, self._owner = self._owner, owner
        if (before is None) is not (owner is None):
            book = self._book()
            if book is not None:
                book.owner_changed(self, owner is not None)

    @property
    def owned(self) -> bool:
        """Whether a supervisor decides about the next incarnation."""
        owner = self._owner
        return owner is not None and not owner.ended

    def bind(self, ref: ActorRef[Any]) -> None:
        """Let *ref* be the live incarnation; the last one, if the agent is gone."""
        super().bind(ref)
        if self._done_for:
            self._end_when_done(ref)

    def _end_when_done(self, ref: ActorRef[Any]) -> None:
        """Have *ref* end after the messages that wait for it."""
        if ref.is_alive() and not self.owned:
            put(ref, ActorStop())

    def agent_gone(self) -> None:
        """Nothing refers to the agent any more: end its actor once it has done what it was told.

        Posted by the thread that dropped it last, so that it comes after all that threads have told it.
        """
        self._done_for = True
        ref = self.ref
        if ref is not None:
            self._end_when_done(ref)

    def expects(self, error: BaseException) -> bool:
        """Tell whether *error* out of the agent's handler leaves the agent well."""
        try:
            return self._spec.expected_errors.include(error)
        except Exception:
            return False  # a class of the user's decides, or a property of the error

    def blueprint(self) -> tuple[type[Actor], tuple[Any, ...]]:
        """Return the class of the actor that stands for the agent here, and its arguments."""
        spec = self._spec
        recipe = spec.recipe
        cluster = self.system.cluster
        if recipe is not None and (cluster is None or not cluster.runs_here(recipe.node)):
            stand_in: tuple[type[Actor], tuple[Any, ...]] = recipe.stand_in(
                cluster, self._owner, self.incarnation + 1
            )
            return (NodePool, (spec, self, stand_in[1])) if recipe.over_nodes else stand_in
        if spec.place is not None:
            return FreedActor, (spec, spec.place)
        return (AgentActor, (spec,)) if spec.concurrency == 1 else (AgentPool, (spec, self))

    def handlers(self) -> Sequence[ActorRef[Any]]:
        """Return the incarnations that handle its messages now."""
        return super().handlers() if self.pool is None else self.pool.cells

    def handlers_of(self, request: Any) -> Sequence[ActorRef[Any]]:
        """Return the actors of which one has to become free before *request* is answered."""
        pool = self.pool
        return super().handlers_of(request) if pool is None else pool.handlers_of(request)

    def supervised_by(self, parent: Actor) -> None:
        """Let *parent*, which has started or adopted it, decide about incarnations that crash."""
        if self.pool is not None:
            self.pool.supervised_by(parent)

    @property
    def busy(self) -> int:
        """How many messages are being handled now."""
        if self.pool is not None:
            return self.pool.busy
        ref = self.live
        return 0 if ref is None else int(self.system.info(ref).busy_s is not None)

    @property
    def room(self) -> int:
        """How many more incarnations could be started beside them."""
        return 0 if self.pool is None else self.pool.room

    def incarnation_ended(self) -> None:
        """An incarnation, or the pool of several, is gone: start the next."""
        pool = self.pool
        if pool is not None and pool.actor_ref.ended:
            self.pool = None
            pool.over()
        super().incarnation_ended()

    def end(self, ref: ActorRef[Any], reason: Any) -> None:
        """End *ref*, the actor that stands for the agent, and cancel what it does. From any thread."""
        if self.pool is not None:
            self.pool.cancels = True
        self.system.end_actor(ref, reason)

    def withdraw(self, request: AgentRequest, timeout: AgentTimeout | None) -> None:
        """The asker of *request* waits no more (*timeout*: because it took too long): cancel the work."""
        if self.pool is not None:
            self.pool.withdraw(request, timeout)
        elif self.ref is not None:
            lifecycle.cancel_work(self.ref, request, timeout)

    def start_on_demand(self) -> None:
        """Start an incarnation for the messages that wait, unless that is a supervisor's business."""
        if self.owned or not self.system.running:
            return
        before = self.ref
        if before is not None and not before.ended:
            # It lives, or is still ending: its end starts the next, and has to come.
            if self.pool is None:
                lifecycle.hurry(before)
            elif not before.is_alive():
                self.pool.hurry()
            return
        self.owner = None
        actor_class, args = self.blueprint()
        ref = spawn(
            self.system.open_home(),
            actor_class,
            args,
            {},
            name=self.name,
            mailbox_to=self,
            incarnation=self.incarnation + 1,
        )
        self.bind(ref)

    def put(self, request: AgentRequest) -> None:
        """Take *request* into the live incarnation's mailbox, or keep it. Safe from any thread."""
        if self._fenced(request.message):
            refuse(request, ActorDied(running_here() or self, "abandoned"))
        elif not self.system.scheduler.post_or_call(self._arrive, request):
            refuse(request, AgentStopped(self.name, "the system has stopped"))


def _agent_gone(link: OwnerLink) -> None:
    """The agent is gone; this is the thread that dropped it last."""
    home: AgentAddress | None = link.take()
    if home is not None and home.system.running:
        home.system.scheduler.post(home.agent_gone)
