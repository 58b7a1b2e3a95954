"""An agent's address in one system: where its messages go, and what starts its actor for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ActorDied
from ..kernel import lifecycle
from ..kernel.delivery import refuse
from ..kernel.running import running_here
from ..kernel.starting import spawn
from ..reasons import NORMAL
from .address import Address
from .agent_actor import AgentActor, AgentSpec
from .agent_request import AgentRequest
from .errors import AgentStopped
from .owner_link import OwnerLink

if TYPE_CHECKING:
    from ..ref import ActorRef
    from ..system.system import ActorSystem
    from .directory import Named


class AgentAddress(Address):
    """An agent's address in one system: starts the actor on demand unless a supervisor owns it."""

    __slots__ = ("_agent", "_spec", "owner")

    def __init__(self, agent: Named, system: ActorSystem, spec: AgentSpec) -> None:
        super().__init__(agent.name, system, mailbox=spec.mailbox)
        self._spec = spec
        # An agent that is no longer referenced must not leave its idle actor behind.
        self._agent = OwnerLink(agent, _end_actor)
        self._agent.home = self
        self.owner: ActorRef[Any] | None = None

    @property
    def owned(self) -> bool:
        """Whether a supervisor decides about the next incarnation."""
        return self.owner is not None and not self.owner.ended

    def expects(self, error: BaseException) -> bool:
        """Tell whether *error* out of the agent's handler leaves the agent well."""
        try:
            return self._spec.expected_errors.include(error)
        except Exception:
            return False  # a class of the user's decides, or a property of the error

    def start_on_demand(self) -> None:
        """Start an incarnation for the messages that wait, unless that is a supervisor's business."""
        agent = self._agent()
        if self.owned or agent is None or not self.system.running:
            return
        before = self.ref
        if before is not None and not before.ended:
            # It lives, or is still ending: its end starts the next, and has to come.
            lifecycle.hurry(before)
            return
        self.owner = None
        ref = spawn(
            self.system.open_home(),
            AgentActor,
            (self._spec,),
            {},
            name=agent.name,
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


def _end_actor(link: OwnerLink) -> None:
    """The agent is gone; this is the thread that dropped it last."""
    home: AgentAddress | None = link.take()
    if home is None or not home.system.running:
        return
    ref = home.ref
    if ref is not None and not ref.ended:
        home.system.scheduler.post(_end_unless_owned, home, ref)


def _end_unless_owned(home: AgentAddress, ref: ActorRef[Any]) -> None:
    if ref.is_alive() and not home.owned:
        lifecycle.doom(ref, NORMAL, soft=True)
