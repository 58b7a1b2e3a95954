"""A pool whose incarnations run on all nodes with a label: ``Agent(..., node=spread("gpu"), concurrency=8)``.

The pool is with those who ask: its mailbox, its sessions and its supervision are those of any `AgentPool`,
and so is the rule that a message goes to an incarnation that is free. Each incarnation is an actor of its
own on its node, and one here stands for it, so its requests are those of any agent on another node.

Lost: one actor a node with a share of the concurrency. A share has to be found anew with each node that
comes or goes, and its crashes are not seen by the supervisor; a router over agents, one a node, where a
message waits behind a slow one while another node has room.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ..cluster.remote import Birth
from ..errors import AgenticError
from ..kernel import lifecycle
from ..kernel.cell import home_of, put
from ..kernel.delivery import is_ask
from ..kernel.pykka_seam import ActorStop
from ..kernel.request import new_request
from ..looks import is_a
from ..messages import OwnMessage
from ..reasons import NORMAL
from ..ref import ActorRef
from .agent_actor import AgentSpec
from .agent_host import AgentHost, Recipe, RemoteAgent
from .agent_pool import AgentPool, IncarnationFailed, PoolHome, PoolPlace
from .pooled_actor import FREED


class WhenFree(OwnMessage):
    """Asks the host of an incarnation to answer when that has done what came before."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "WHEN_FREE"

    def __repr__(self) -> str:
        return "<when free>"


WHEN_FREE: Final = WhenFree()


class FarPlace(PoolPlace):
    """One incarnation on another node, as its pool sees it."""

    __slots__ = ("far",)

    far: FarIncarnation

    def _reply_ready(self, request: Any, /) -> None:
        try:
            request.result()
        except Exception:
            return  # it ends, and that is told
        self.free()


class FarIncarnation(RemoteAgent):
    """Stands for one incarnation on another node."""

    stands_for_incarnation = True

    def __init__(self, place: FarPlace, cluster: Any, node: Any, birth: Birth) -> None:
        super().__init__(cluster, node, birth)
        self._place = place
        place.far = self
        place.enter(self._ref)

    async def on_start(self) -> None:  # type: ignore[override]
        await super().on_start()
        if self._place.starting:
            self._place.free()

    def ask_when_free(self) -> None:
        """Have the place told when the incarnation has done what it was handed."""
        peer = self.peer
        if peer is not None and self.gone is None:
            request: Any = new_request(WHEN_FREE, self._ref, home_of(self._ref))
            request.notify(self._place)
            # Past the limit of what may wait for the node: there is one for each message.
            self.pass_on(peer, request)


class NodePool(AgentPool):
    """Stands for an agent with incarnations on several nodes; see the module."""

    def __init__(self, spec: AgentSpec, home: PoolHome, stand_in: tuple[Any, ...]) -> None:
        super().__init__(spec, home)
        self._cluster, self._node, birth = stand_in
        recipe: Recipe = birth.args[0]
        self._recipe = replace(recipe, given={**recipe.given, "concurrency": 1})
        self._starts_slowly = True
        self._loss: IncarnationFailed | None = None
        """What the supervisor was told of the last loss of a node."""
        self._lost = 0
        """How many places it was told of by that."""
        self._again: bool | None = None
        """What it has decided about them; None: nothing yet."""

    def _new_place(self) -> FarPlace:
        return FarPlace(self, super()._new_place().number)

    def _blueprint(self, place: PoolPlace) -> tuple[type[FarIncarnation], tuple[Any, ...]]:
        incarnation = max(self.home.incarnation, self._ref.incarnation)
        label = self._label(place)
        birth = Birth(PooledHost, (self._recipe,), (), label, self._ref, incarnation)
        return FarIncarnation, (place, self._cluster, self._node, birth)

    def _hand(self, place: PoolPlace, item: Any) -> None:
        self._note_handed(place, item)
        try:
            put(place.cell, item)
        except AgenticError as error:  # it cannot travel, or too much waits for the node
            if is_ask(item):
                item.fail(error)
            else:
                self.system.dead_letter(item, self.home.name, error)
        assert isinstance(place, FarPlace)
        place.far.ask_when_free()

    def _soon_make_room(self, place: PoolPlace, turn: int, timeout: BaseException | None) -> None:
        """Leave it to the node to end work that is withdrawn."""

    # -- the loss of a node ----------------------------------------------------------------------

    def _ask_supervisor(self, parent: Any, place: PoolPlace) -> None:
        # All that a node had ends with the one reason: one failure, whatever was lost with it.
        loss, reason = self._loss, place.cell.exit_reason
        if loss is None or loss.reason is not reason or not hasattr(reason, "cause_token"):
            self._lost, self._again = 1, None
            self._loss = IncarnationFailed(self, place, self.system.clock() - place.born_at)
            parent.tell(self._loss)
        elif self._again is None:
            self._lost += 1
        else:
            super().decided(loss, self._again)

    def decided(self, failed: IncarnationFailed, again: bool) -> None:
        places = 1
        if failed is self._loss:
            places, self._again = self._lost, again
        for _ in range(places):
            super().decided(failed, again)

    # -- the end ---------------------------------------------------------------------------------

    def _finish_work(self) -> None:
        """Let the incarnations end when what they have been given is done."""
        for place in self._places.values():
            if place.starting and self._pending:
                place.item = self._pending.pop(0)  # which it is handed when it has started
            elif place.item is None:
                lifecycle.doom(place.cell, NORMAL)

    def place_freed(self, place: PoolPlace) -> None:
        if self._ref.is_alive():
            super().place_freed(place)
        elif place.starting and place.item is not None:
            place.starting = False
            self._hand(place, place.item)
        elif self._places.get(place.number) is place:
            place.item = None
            put(place.cell, ActorStop())

    def place_ended(self, place: PoolPlace) -> None:
        if place.starting and place.item is not None:
            self.home.lose(place.item, place.unstarted or place.cell.exit_reason)
        super().place_ended(place)


class PooledHost(AgentHost):
    """Has one incarnation of such an agent on its node."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._free: list[Any] = []
        """The requests to be told when it is free, oldest first."""
        agent: Any = self._agent
        agent._spec.place = _HostPlace(self)

    def on_receive(self, message: Any) -> None:
        if not is_a(message, WhenFree):
            super().on_receive(message)
            return
        self._free.append(self.defer_reply())
        ref: ActorRef[Any] = self._ref_of_agent
        if ref.is_alive():
            put(ref, FREED)

    def freed(self) -> None:
        """The incarnation has done what came before the oldest question."""
        if self._free:
            self._free.pop(0).reply(None)


class _HostPlace:
    """What the incarnation tells that it is free."""

    def __init__(self, host: PooledHost) -> None:
        self._host = host

    def enter(self, ref: Any, /) -> None:
        """It has been made."""

    def free(self) -> None:
        """It is free. Safe from any thread."""
        self._host.system.scheduler.post_or_call(self._host.freed)


__all__ = ["FarIncarnation", "NodePool", "PooledHost"]
