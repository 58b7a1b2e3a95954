"""Routers: one address over several actors, with a policy that says who gets which message.

A router offers `tell`, `send` and `request` as a ref does. It is not an actor: choosing costs no hop, and
a message goes from its sender straight into the chosen mailbox, so the order of one sender's messages
to one member is kept. Members are a list of refs and agents, or a process group of the system, whose
members come and go by themselves; the dead are passed over, and agents that were stopped for good.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, cast

from ..errors import AgenticError, WrongUse, check_ref, near_names
from ..kernel.request import Request, gather, new_request
from .inspection import inspect_actor

if TYPE_CHECKING:
    from ..ref import ActorRef
    from .system import ActorSystem

POINTS = 64
"""Places of each member on the ring of a consistent hash. With 64 the share of the busiest of ten
members is about a fifth above the mean; the error falls with the square root."""


class AgentRoutee(Protocol):
    """What a router asks of an agent: `agenticaiframework.actors.Agent` is above this package."""

    name: str

    @property
    def concurrency(self) -> int: ...
    def address(self, system: Any = None) -> Any: ...
    def tell(self, payload: Any, *, system: Any = None) -> None: ...
    def request(self, payload: Any, timeout: float | None = None, *, system: Any = None) -> Any: ...


class NoRoutee(AgenticError):
    """A router has no live member to give a message to."""

    def __init__(self, router: str) -> None:
        super().__init__(
            f"{router} has no live member. Give it refs of running actors, or agents, or let actors join its "
            "group: system.groups.join(name, ref)"
        )
        self.router = router


def unknown_routing(policy: str) -> WrongUse:
    """Return the error: a routing policy that does not exist."""
    return WrongUse(
        f"There is no routing {policy!r}. {near_names(policy, POLICIES)} "
        'For example: Router(system, "workers", policy="round_robin")'
    )


def not_a_system(value: Any) -> WrongUse:
    """Return the error: a router was not told which system its members live in."""
    return WrongUse(
        f"A router's first argument is the actor system, not {value!r}. "
        'For example: Router(system, "workers") or Router(ActorSystem.current(), [ref, other])'
    )


Routee: TypeAlias = "ActorRef[Any] | AgentRoutee"
"""What a router gives messages to: the ref of an actor, or an agent, which starts its actor itself."""


class Policy(Protocol):
    """Chooses who gets a message, among the live members in their order: refs, and agents if it has any."""

    def choose(self, members: list[Any], message: Any, /) -> list[Any]: ...


class RoundRobin:
    """Each member in turn."""

    def __init__(self) -> None:
        self._last: Any = None
        self._next = 0

    def choose(self, members: list[Routee], _message: Any, /) -> list[Routee]:
        # Go on behind the last one, also when others before it have left or joined.
        try:
            place = members.index(self._last) + 1
        except ValueError:
            place = self._next
        place %= len(members)
        self._last, self._next = members[place], place
        return [members[place]]


class SmallestMailbox:
    """The member with the fewest messages waiting; an idle member counts less than one at work.

    An agent that handles several at once counts for each the less, the more it handles.
    """

    def __init__(self, system: ActorSystem | None = None) -> None:
        self._system = system

    def choose(self, members: list[Routee], _message: Any, /) -> list[Routee]:
        # The order of the members decides between equals, so that it is the same in every run.
        return [min(members, key=lambda member: _load(member, self._system))]


class Broadcast:
    """All of them. A request's answer is the list of theirs."""

    def choose(self, members: list[Routee], _message: Any, /) -> list[Routee]:
        return members


class Random:
    """Any of them, by the system's randomness."""

    def __init__(self, system: ActorSystem) -> None:
        self._random = system.random

    def choose(self, members: list[Routee], _message: Any, /) -> list[Routee]:
        return [members[self._random.randrange(len(members))]]


_ANY_WILL_DO = (RoundRobin, SmallestMailbox, Random)
"""The policies under which one that works is as good as another."""


class ConsistentHash:
    """The same member for the same key, as long as it lives.

    *key* takes the message and returns what is hashed by its `repr`. Members stand on a ring at
    places that depend on their names alone (or, without a name, on their pids), so when one joins or
    leaves, only the keys that go to it or came from it change their member.
    """

    def __init__(self, key: Callable[[Any], Hashable]) -> None:
        self._key = key
        self._members: list[Routee] = []
        self._places: list[int] = []
        self._owners: list[Routee] = []

    def choose(self, members: list[Routee], message: Any, /) -> list[Routee]:
        if members != self._members:
            ring = sorted(
                (
                    (_place(f"{label_of(ref)}/{point}"), ref)
                    for ref in members
                    for point in range(POINTS)
                ),
                key=lambda entry: (entry[0], getattr(entry[1], "pid", 0)),
            )
            self._places = [place for place, _ in ring]
            self._owners = [ref for _, ref in ring]
            self._members = members
        place = bisect_right(self._places, _place(repr(self._key(message))))
        return [self._owners[place % len(self._owners)]]


POLICIES = ("broadcast", "consistent_hash", "random", "round_robin", "smallest_mailbox")


class Router:
    """An address over several actors; see the module.

    *members* is the name of a process group of *system*, or refs and agents. *policy* is one of
    ``round_robin``, ``smallest_mailbox``, ``broadcast``, ``random``, ``consistent_hash`` (which needs
    *key*, a function of the message), or an object with `choose`. Use it on the loop's thread.

    Example: ``Router(system, "workers", policy="consistent_hash", key=lambda order: order.customer)``
    """

    def __init__(
        self,
        system: ActorSystem,
        members: str | Iterable[Routee],
        policy: str | Policy = "round_robin",
        *,
        key: Callable[[Any], Hashable] | None = None,
    ) -> None:
        if not hasattr(system, "groups"):
            raise not_a_system(system)
        if not isinstance(members, str):
            members = list(members)
            for member in members:
                if not is_agent(member):
                    check_ref("Router", member)
        self.system = system
        self.group = members if isinstance(members, str) else None
        self._refs = [] if isinstance(members, str) else list(members)
        self.policy = _policy(policy, system, key)
        self.name = f"the router over {self.group or [label_of(ref) for ref in self._refs]}"

    def __repr__(self) -> str:
        return f"<Router {type(self.policy).__name__} over {len(self.members)}>"

    @property
    def members(self) -> list[Routee]:
        """The live members, in the order in which they joined."""
        if self.group is not None:
            return [*self.system.groups.members(self.group)]
        return [member for member in self._refs if self._takes_messages(member)]

    def _takes_messages(self, member: Routee) -> bool:
        if is_agent(member):
            return member.address(self.system).closed is None
        return cast("ActorRef[Any]", member).is_alive()

    def add(self, ref: Routee) -> None:
        """Make *ref* a member: the ref of an actor, or an agent where it is not over a group."""
        if self.group is not None or not is_agent(ref):
            check_ref("router.add", ref)
        if self.group is not None:
            self.system.groups.join(self.group, cast("ActorRef[Any]", ref))
        elif ref not in self._refs:
            self._refs = [*self.members, ref]

    def remove(self, ref: Routee) -> None:
        """Let *ref* be a member no more; what it was sent it still handles."""
        if self.group is not None:
            self.system.groups.leave(self.group, cast("ActorRef[Any]", ref))
        else:
            self._refs = [member for member in self._refs if member is not ref]

    def choose(self, message: Any) -> list[Routee]:
        """Return the routees that are to get *message*. Raises `NoRoutee`."""
        members = self.members
        if not members:
            raise NoRoutee(self.name)
        if isinstance(self.policy, _ANY_WILL_DO):
            members = [member for member in members if not self._cools_down(member)] or members
        return self.policy.choose(members, message)

    def _cools_down(self, member: Routee) -> bool:
        """Tell whether *member* fails what is asked of it for a while, and so seems to have little to do."""
        return is_agent(member) and bool(member.address(self.system).cools_down)

    def tell(self, message: Any) -> None:
        """Send *message* and wait for nothing.

        Raises `NoRoutee`, and of a single receiver what `ActorRef.tell` raises. Of a broadcast each
        member gets it whose mailbox takes it; for the others it becomes a dead letter.
        """
        chosen = self.choose(message)
        if len(chosen) == 1:
            self._tell(chosen[0], message)
            return
        for member in chosen:
            try:
                self._tell(member, message)
            except AgenticError as error:
                self.system.dead_letter(message, label_of(member), error)

    def _tell(self, member: Routee, message: Any) -> None:
        if is_agent(member):
            member.tell(message, system=self.system)
        else:
            member.tell(message)

    def _request(self, member: Routee, message: Any, timeout: float | None) -> Any:
        if is_agent(member):
            return member.request(message, timeout, system=self.system)
        return member.request(message, timeout)

    def request(self, message: Any, timeout: float | None = None) -> Any:
        """Return an awaitable for the answer; see `ActorRef.request`, and of an agent `Agent.ask`.

        Of a broadcast it is the list of all answers, in the order of the members, and an error of
        one stands in its place in the list. Raises `NoRoutee` at once.
        """
        chosen = self.choose(message)
        if isinstance(self.policy, Broadcast):
            requests: list[Request] = []
            for ref in chosen:
                try:
                    requests.append(self._request(ref, message, timeout))
                except AgenticError as error:
                    requests.append(_failed(self.system, ref, message, error))
            return gather(*requests, return_exceptions=True)
        return self._request(chosen[0], message, timeout)

    def send(self, message: Any) -> Request:
        """Return an awaitable that is done when *message* is in the mailbox; for one receiver."""
        member = self.choose(message)[0]
        if not is_agent(member):
            return cast("ActorRef[Any]", member).send(message)
        done = new_request(message, member.address(self.system), self.system.scheduler)
        try:
            member.tell(message, system=self.system)
        except AgenticError as error:
            done.fail(error)
        else:
            done.reply(None)
        return done


def _policy(
    policy: str | Policy, system: ActorSystem, key: Callable[[Any], Hashable] | None
) -> Policy:
    if policy == "consistent_hash":
        if key is None:
            raise routing_key_missing()
        return ConsistentHash(key)
    if key is not None:
        raise routing_key_unused(str(policy))
    given: Any = policy
    if hasattr(given, "choose"):
        return cast("Policy", given)
    name = str(given)
    if name == "random":
        return Random(system)
    made: dict[str, type[RoundRobin | Broadcast]] = {
        "round_robin": RoundRobin,
        "broadcast": Broadcast,
    }
    if name == "smallest_mailbox":
        return SmallestMailbox(system)
    if name not in made:
        raise unknown_routing(name)
    return made[name]()


def routing_key_missing() -> WrongUse:
    """Return the error: a consistent hash was given nothing to hash."""
    return WrongUse(
        "policy='consistent_hash' needs key=, a function of the message. For example: "
        "Router(system, 'workers', policy='consistent_hash', key=lambda order: order.customer)"
    )


def routing_key_unused(policy: str) -> WrongUse:
    """Return the error: a key was given to a policy that has no use for it."""
    return WrongUse(
        f"policy={policy!r} uses no key. Leave key= out, or say policy='consistent_hash'."
    )


def is_agent(member: Any) -> TypeGuard[AgentRoutee]:
    """Tell whether *member* is an agent, and not the ref of an actor."""
    return hasattr(member, "concurrency") and hasattr(member, "address")


def label_of(member: Routee) -> str:
    """Return the name of *member* for people, which its place in a consistent hash depends on."""
    return member.name if is_agent(member) else cast("ActorRef[Any]", member).label


def _load(member: Routee, system: ActorSystem | None) -> tuple[float, int]:
    """Return how much waits for *member*, and how much of it is at work, for comparing."""
    if not is_agent(member):
        info = inspect_actor(cast("ActorRef[Any]", member))
        return info.mailbox_length + (info.busy_s is not None), cast("ActorRef[Any]", member).pid
    address = member.address(system)
    live = address.live
    queued = address.waiting + (0 if live is None else inspect_actor(live).mailbox_length)
    return queued + address.busy / member.concurrency, 0


def _place(text: str) -> int:
    """Return the place of *text* on the ring: the same in every process and run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _failed(system: ActorSystem, member: Routee, message: Any, error: Exception) -> Request:
    target: Any = member.address(system) if is_agent(member) else member
    request = new_request(message, target, system.scheduler)
    request.fail(error)
    return request


__all__ = [
    "POLICIES",
    "AgentRoutee",
    "Broadcast",
    "ConsistentHash",
    "NoRoutee",
    "Policy",
    "Random",
    "RoundRobin",
    "Routee",
    "Router",
    "SmallestMailbox",
    "routing_key_missing",
    "routing_key_unused",
    "unknown_routing",
]
