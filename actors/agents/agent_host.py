"""An agent with a ``node``: what goes to that node, and the actor that has the agent there.

The node makes an agent of the same arguments, and so everything that an agent does (a model, sessions,
several messages at once) is done there by the same code. Its actor is linked to the `AgentHost`, which
ends with it; the supervisor of the agent, wherever it is, sees that end as the agent's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from ..actor import Actor
from ..cluster.codec import check_importable
from ..cluster.errors import NotInCluster
from ..cluster.incoming import Withdrawal
from ..cluster.node import placed
from ..cluster.placement import Placement, Spread, is_placement
from ..cluster.remote import Birth, RemoteActor
from ..errors import ActorExit
from ..looks import is_a, shown
from ..messages import Exit
from ..reasons import is_normal
from .agent_pool import IncarnationFailed
from .agent_request import Work
from .callee_side import CalleeSide, callee_side_of
from .errors import AgentDefinitionError


class HostedAgent(Protocol):
    """An agent, as its host uses it; `Agent` is one."""

    name: str

    def request(
        self, payload: Any, /, timeout: float | None = None, *, context: Mapping[str, Any] | None
    ) -> Any: ...
    def request_step(
        self, payload: Any, timeout: float | None, /, *, context: Mapping[str, Any] | None
    ) -> Any: ...
    def tell(self, payload: Any, /, *, context: Mapping[str, Any] | None) -> None: ...
    def address(self) -> Any: ...
    async def start_under(self, parent: Any, /) -> Any: ...
    async def stop(self, reason: Any, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an agent is made of, on whichever node: its class, and the arguments that were given."""

    kind: Any
    name: str
    given: Mapping[str, Any]
    node: Placement
    over_nodes: bool = False
    """Whether its incarnations run on all nodes with the label."""

    def made(self) -> HostedAgent:
        """Return a new agent of it."""
        agent: HostedAgent = self.kind(self.name, **self.given)
        return agent

    def stand_in(self, cluster: Any, owner: Any, incarnation: int) -> tuple[Any, tuple[Any, ...]]:
        """Return the class and the arguments of what stands for the agent in another node's system.

        Raises `NotInCluster`, and `CannotTravel` for a handler without an import name.
        """
        if cluster is None:
            raise NotInCluster(f"Agent {self.name!r}, which is to run on node {str(self.node)!r},")
        if not cluster.by_value:
            for part in ("handler", "on_start", "on_stop", "approve"):
                check_importable(f"The {part} of agent {self.name!r}", self.given.get(part))
        # What it is near stays here: the node that starts it is chosen here.
        recipe = replace(self, node="")
        birth = Birth(AgentHost, (recipe,), (), self.name, owner, incarnation)
        return RemoteAgent, (cluster, placed(self.node, self.name), birth)


class RemoteAgent(RemoteActor):
    """Stands for an agent on another node."""

    stands_for_agent = True


def recipe_of(kind: Any, node: Any, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the agent that *kind* makes of the arguments *given*, to run on *node*.

    Raises `AgentDefinitionError` if *node* is not a place, and for an agent whose incarnations are to run
    on several nodes and whose conversations are in the memory of one.
    """
    name = given["name"]
    if not is_placement(node):
        raise AgentDefinitionError(
            f"the node of agent {name!r} must be the name or a label of a node, near(...) or spread(...), "
            f'not {shown(node)}; for example Agent({name!r}, handler=..., node="gpu")'
        )
    concurrency = given.get("concurrency")
    over_nodes = isinstance(node, Spread) and isinstance(concurrency, int) and concurrency > 1
    if over_nodes and given.get("model") is not None and _in_memory(given.get("history")):
        raise AgentDefinitionError(
            f"agent {name!r} is to run on several nodes (node={node}, concurrency={concurrency}), and its "
            "conversations are in the memory of one: give a store that all nodes reach, "
            'history="postgresql://...", or history=False to keep none'
        )
    left_out = {"self", "name", "node", "recipe", "__class__"}
    arguments = {
        key: value
        for key, value in given.items()
        if key not in left_out and value is not None and value != ()
    }
    return Recipe(kind, name, arguments, node, over_nodes)


def _in_memory(history: Any) -> bool:
    """Tell whether ``history=history`` keeps conversations in the memory of a system."""
    if isinstance(history, Mapping):
        return cast("Mapping[str, Any]", history).get("store") is None
    return history is None or history is True or getattr(history, "store", history) is None


class AgentHost(Actor):
    """Has one agent on its node: hands it the messages of the other nodes, and ends when it ends."""

    told_of_withdrawals = True
    replaces_incarnations = True
    reports_children = True
    exit_is_crash = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._agent = recipe.made()
        self._ref_of_agent: Any = None
        self._asked: dict[Any, Any] = {}
        """What the agent is asked for others, by their requests."""
        self._sides: dict[Any, CalleeSide] = {}
        """What those of them need that say more than their answer."""

    async def on_start(self) -> None:  # type: ignore[override]
        self.trap_exit = True
        self._ref_of_agent = await self._agent.start_under(self)

    async def on_stop(self, reason: Any = None) -> None:  # type: ignore[override]
        try:
            await self._agent.stop(reason)
        finally:
            for asker in list(self._sides):
                self._over(asker)

    def on_receive(self, message: Any) -> None:
        if is_a(message, Work):
            self._hand_on(message)
        elif is_a(message, Exit):
            if message.ref is self._ref_of_agent or not is_normal(message.reason):
                raise ActorExit(message.reason)
        elif is_a(message, Withdrawal):
            asked = self._asked.pop(message.request, None)
            if asked is not None:
                self._withdraw(asked, message.timeout)
            self._over(message.request)
        elif is_a(message, IncarnationFailed):
            message.replace()
        else:
            self._agent.address().tell(message)

    def _hand_on(self, work: Work) -> None:
        if self.current_request is None:
            self._agent.tell(work.payload, context=work.context)
            return
        asker: Any = self.defer_reply()
        context: Any = work.context
        side = callee_side_of(self._agent.name, asker, getattr(work, "terms", None))
        if side is not None:
            # In the context variables of this message, which the agent's work takes on.
            context = side.open(work.context)
            self._sides[asker] = side
        try:
            if hasattr(asker, "taken_up"):
                asked = self._agent.request_step(work.payload, None, context=context)
                asked.on_taken = asker.taken_up
            else:
                asked = self._agent.request(work.payload, context=context)
        except Exception as error:  # its mailbox is full, say
            self._over(asker)
            asker.fail(error)
            return
        self._asked[asker] = asked
        asked.notify(_Passing(self, asker))

    def answered(self, asker: Any, asked: Any) -> None:
        """The agent has answered *asked*, or failed: so *asker* is answered."""
        self._asked.pop(asker, None)
        side = self._sides.get(asker)
        try:
            if side is not None:
                side.end()
            asker.reply(asked.result())
        except BaseException as error:
            asker.fail(error)
        self._over(asker)

    def _over(self, asker: Any) -> None:
        side = self._sides.pop(asker, None)
        if side is not None:
            side.over()

    def _withdraw(self, asked: Any, timeout: BaseException | None) -> None:
        if timeout is None:
            asked.abandon()
        else:
            asked.expire(getattr(timeout, "timeout_s", 0.0))


class _Passing:
    """Has the agent's answer passed on."""

    __slots__ = ("_asker", "_host")

    def __init__(self, host: AgentHost, asker: Any) -> None:
        self._host = host
        self._asker = asker

    def _reply_ready(self, request: Any, /) -> None:
        self._host.answered(self._asker, request)


__all__ = ["AgentHost", "Recipe", "RemoteAgent", "recipe_of"]
