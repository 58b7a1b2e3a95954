"""A supervision tree as data: for people (`print`), for programs, and as a Mermaid drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from agenticaiframework.actors import (
    ActorRef,
    ActorSystem,
    HtmlState,
    describe_reason,
    html_table,
    is_a,
    traceback_of,
)

from ..machine.child import Child
from ..machine.dynamic_children import DynamicChildren
from ..machine.supervisor import Supervisor, supervisor_of
from ..policy.flags import SupervisorFlags
from ..vocabulary.kinds import ChildState, SupervisionStrategy
from ..vocabulary.mermaid import mermaid_text
from .supervised_child import SupervisedChild


class NamedSupervisor(Protocol):
    """What the tree reads of a supervisor, whether it runs or not."""

    name: str
    flags: SupervisorFlags

    @property
    def ref(self) -> ActorRef[Any] | None: ...
    @property
    def last_reason(self) -> Any: ...
    @property
    def strategy(self) -> SupervisionStrategy: ...
    def __iter__(self) -> Iterator[SupervisedChild]: ...


@dataclass(frozen=True, slots=True)
class SupervisionTree:
    """A supervisor or a worker, and what is below it.

    *state* is a `ChildState`, *activity* what its actor does now (``idle``, ``waiting``, ...).
    *in_window* restarts count now against *limit* within *period_s* seconds; a worker has these
    only if it has a budget of its own. *waiting* messages are kept for its next incarnation.
    *back_in_s* is when one that cools down is started afresh.
    Of an agent that handles several messages at once, *busy* is how many it handles, of *concurrency*.
    """

    name: str
    kind: str
    state: str
    activity: str | None = None
    pid: int | None = None
    incarnation: int = 0
    restarts: int = 0
    last_exit: str | None = None
    traceback: str | None = None
    mailbox_length: int = 0
    waiting: int = 0
    strategy: str | None = None
    in_window: int | None = None
    limit: int | None = None
    period_s: float | None = None
    back_in_s: float | None = None
    busy: int | None = None
    concurrency: int | None = None
    node: str | None = None
    """The name of the node of the cluster that it runs on; None: on the node of its supervisor."""
    children: tuple[SupervisionTree, ...] = ()

    def walk(self, path: str = "") -> Iterator[tuple[str, SupervisionTree]]:
        """Yield every node with its path, parents before children."""
        here = f"{path}/{self.name}" if path else self.name
        yield here, self
        for child in self.children:
            yield from child.walk(here)

    def find(self, path: str) -> SupervisionTree | None:
        """Return the node at *path* below this one (``"io/reader"``), or None."""
        node = self
        for name in path.split("/"):
            found = next((child for child in node.children if child.name == name), None)
            if found is None:
                return None
            node = found
        return node

    def as_dict(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for JSON."""
        return asdict(self)

    # -- drawn ---------------------------------------------------------------------------------

    def __str__(self) -> str:
        return "\n".join(self._lines("", ""))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line for each node, indented by its depth."""
        rows = [
            (
                "\u2003" * path.count("/") + node.name,
                node.strategy or node.kind,
                HtmlState(node.state),
                node.incarnation,
                node.restarts,
                node.mailbox_length + node.waiting,
                node.last_exit,
            )
            for path, node in self.walk()
        ]
        head = ("name", "kind", "state", "incarnation", "restarts", "waiting", "last exit")
        return html_table(f"Supervisor {self.name}", head, rows)

    def _lines(self, first: str, rest: str) -> Iterator[str]:
        yield first + self._line()
        last = len(self.children) - 1
        for index, child in enumerate(self.children):
            if index < last:
                yield from child._lines(rest + "├─ ", rest + "│  ")
            else:
                yield from child._lines(rest + "└─ ", rest + "   ")

    def _line(self) -> str:
        parts = [self.name]
        if self.strategy is not None:
            parts.append(f"[{self.strategy}]")
        parts.append(self.state if self.incarnation < 2 else f"{self.state} #{self.incarnation}")
        if self.back_in_s is not None:
            parts.append(f"back in {self.back_in_s:.3g} s")
        if self.restarts:
            parts.append(f"restarts {self.restarts}")
        if self.limit is not None and self.period_s is not None:
            parts.append(f"window {self.in_window}/{self.limit} in {self.period_s:g} s")
        if self.node is not None:
            parts.append(f"on {self.node}")
        if self.busy is not None:
            parts.append(f"{self.busy}/{self.concurrency} busy")
        if self.mailbox_length:
            parts.append(f"mailbox {self.mailbox_length}")
        if self.waiting:
            parts.append(f"waiting {self.waiting}")
        if self.last_exit is not None:
            parts.append(f"last exit: {self.last_exit}")
        return "  ".join(parts)

    def mermaid(self) -> str:
        """Return the tree as a Mermaid flowchart: supervisors as boxes, workers rounded."""
        nodes: list[str] = []
        edges: list[str] = []
        self._draw(nodes, edges)
        lines = ["flowchart TD", *nodes, *edges]
        lines += [
            "    classDef running fill:#e6f4ea,stroke:#188038",
            "    classDef restarting fill:#fef7e0,stroke:#e37400",
            "    classDef deciding fill:#fef7e0,stroke:#e37400",
            "    classDef starting fill:#e8f0fe,stroke:#1a73e8",
            "    classDef cooling_down fill:#fce8e6,stroke:#e37400",
            "    classDef gave_up fill:#fce8e6,stroke:#c5221f",
            "    classDef failed fill:#fce8e6,stroke:#c5221f",
        ]
        return "\n".join(lines)

    def _draw(self, nodes: list[str], edges: list[str]) -> str:
        """Append what draws this node and those below, and return the node's id."""
        here = f"n{len(nodes)}"
        label = mermaid_text(self.name)
        if self.strategy is not None:
            label += f"<br/>{self.strategy}"
        if self.restarts:
            label += f"<br/>restarts: {self.restarts}"
        if self.busy is not None:
            label += f"<br/>{self.busy}/{self.concurrency} busy"
        if self.node is not None:
            label += f"<br/>on {mermaid_text(self.node)}"
        if self.state != ChildState.RUNNING:
            label += f"<br/>{self.state}"
        if self.back_in_s is not None:
            label += f"<br/>back in {self.back_in_s:.3g} s"
        shape = f'["{label}"]' if self.kind == "supervisor" else f'("{label}")'
        nodes.append(f"    {here}{shape}:::{self.state.replace(' ', '_')}")
        for child in self.children:
            # Drawn before the edge, because the child's id is known only then.
            below = child._draw(nodes, edges)
            edges.append(f"    {here} --> {below}")
        return here


def tree_of(supervisor: NamedSupervisor) -> SupervisionTree:
    """Return the tree below *supervisor*, whether it runs or not."""
    return _blueprint_node(supervisor.name, supervisor, None, None)


def _blueprint_node(
    name: str, supervisor: NamedSupervisor, named: SupervisedChild | None, record: Child | None
) -> SupervisionTree:
    ref = supervisor.ref
    actor = None if ref is None else supervisor_of(ref)
    if actor is not None and ref is not None:
        return _supervisor_node(name, ref, actor, named, record)
    reason = supervisor.last_reason
    state = ChildState.NEW if reason is None else ChildState.STOPPED
    return SupervisionTree(
        name,
        "supervisor",
        state if named is None else named.state,
        incarnation=0 if named is None else named.incarnation,
        restarts=0 if record is None else record.restarts,
        last_exit=_described(reason),
        traceback=_traceback(reason),
        strategy=supervisor.strategy,
        in_window=0,
        limit=supervisor.flags.intensity,
        period_s=supervisor.flags.period_s,
        back_in_s=None if named is None else named.back_in_s,
        children=tuple(_named_node(child) for child in supervisor),
    )


def _named_node(child: SupervisedChild) -> SupervisionTree:
    """Return a child whose supervisor does not run."""
    nested = _nested(child)
    if nested is not None:
        return _blueprint_node(child.name, nested, child, None)
    return _worker_node(child.name, child.ref, child, child.record)


def _nested(child: SupervisedChild) -> NamedSupervisor | None:
    target: Any = child.target
    return target if hasattr(target, "tree") else None


def tree_of_ref(name: str, ref: ActorRef[Any]) -> SupervisionTree | None:
    """Return the tree below the running supervisor *ref*; None if it is not a running supervisor."""
    actor = supervisor_of(ref)
    return None if actor is None else _supervisor_node(name, ref, actor, None, None)


def node_of_ref(name: str, ref: ActorRef[Any], actor: Supervisor) -> SupervisionTree:
    """Return the node of a running supervisor, without what is below it."""
    return _supervisor_node(name, ref, actor, None, None, deep=False)


def node_of_child(child: Child, dynamic: bool) -> SupervisionTree:
    """Return the node of a child, without what is below it."""
    return _child_node(child, dynamic, deep=False)


def _child_node(child: Child, dynamic: bool, *, deep: bool = True) -> SupervisionTree:
    ref: Any = child.ref
    named = child.handle if isinstance(child.handle, SupervisedChild) else None
    # Dynamic children have no ids of their own.
    name = str(getattr(ref or child.last_ref, "label", "?") if dynamic else child.spec.id)
    if ref is not None:
        actor = supervisor_of(ref)
        if actor is not None:
            return _supervisor_node(name, ref, actor, named, child, deep=deep)
    nested = None if named is None else _nested(named)
    if nested is not None:
        return _blueprint_node(name, nested, named, child)
    return _worker_node(name, ref, named, child)


def _supervisor_node(
    name: str,
    ref: ActorRef[Any],
    actor: Supervisor,
    named: SupervisedChild | None,
    record: Child | None,
    *,
    deep: bool = True,
) -> SupervisionTree:
    info = _info(ref)
    reason = record.last_reason if record is not None else None
    dynamic = isinstance(actor.children, DynamicChildren)
    return SupervisionTree(
        name,
        "supervisor",
        ChildState.RUNNING if named is None else named.state,
        activity=None if info is None else info.state,
        pid=ref.pid,
        incarnation=ref.incarnation if named is None else named.incarnation,
        restarts=0 if record is None else record.restarts,
        last_exit=_described(reason),
        traceback=_traceback(reason),
        mailbox_length=0 if info is None else info.mailbox_length,
        strategy=actor.strategy_name,
        in_window=actor.window.look(actor.system.clock()),
        limit=actor.window.intensity,
        period_s=actor.window.period_s,
        children=tuple(_child_node(child, dynamic) for child in actor.children) if deep else (),
    )


def _worker_node(
    name: str, ref: Any, named: SupervisedChild | None, record: Child | None
) -> SupervisionTree:
    info = _info(ref)
    reason = None if record is None else record.last_reason
    state = ChildState.NEW if record is None else record.state
    waiting = 0 if named is None or record is None else named.home.waiting
    window = None if record is None else record.window
    # One that is down has no ref, and a plain pykka actor no system; its supervisor has one.
    system: ActorSystem | None = getattr(ref, "system", None)
    if system is None and named is not None and window is not None:
        system = named.supervisor.known_system
    return SupervisionTree(
        name,
        "worker",
        state,
        activity=None if info is None else info.state,
        pid=getattr(ref, "pid", None),
        incarnation=named.incarnation if named is not None else getattr(ref, "incarnation", 0),
        restarts=0 if record is None else record.restarts,
        last_exit=_described(reason),
        traceback=_traceback(reason),
        mailbox_length=0 if info is None else info.mailbox_length,
        waiting=waiting,
        in_window=None if window is None or system is None else window.look(system.clock()),
        limit=None if window is None else window.intensity,
        period_s=None if window is None else window.period_s,
        back_in_s=None if named is None else named.back_in_s,
        busy=None if info is None else info.busy,
        concurrency=None if info is None else info.concurrency,
        node=_node(ref),
    )


def _node(ref: Any) -> str | None:
    """Return the name of the other node of the cluster that the actor of *ref* runs on."""
    kind = getattr(ref, "actor_class", None)
    if kind is None or not getattr(kind, "stands_for_remote", False) or ref.system.cluster is None:
        return None
    name: str = ref.system.cluster.node_of(ref).name
    return name


def _info(ref: Any) -> Any:
    """Return the kernel's look at *ref*'s actor; None for a plain pykka actor or none at all."""
    system: ActorSystem | None = getattr(ref, "system", None)
    return None if system is None else system.info(ref)


def _described(reason: Any) -> str | None:
    return None if reason is None else describe_reason(reason)


def _traceback(reason: Any) -> str | None:
    if not is_a(reason, BaseException):
        return None
    return traceback_of(reason)
