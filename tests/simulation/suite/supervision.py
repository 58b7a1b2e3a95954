"""Supervision trees: which children are restarted, in which order, how often, and what is left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, Agent, is_normal
from agenticaiframework.actors.simulation import Simulation, Violation
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildSpec,
    ReportKind,
    RestartPolicy,
    SupervisionStrategy,
    Supervisor,
    SupervisorFlags,
    SupervisorReport,
)

from .calm import until_calm

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


class Worker(Actor):
    """Handles messages, says goodbye in its own time, and fails when asked to."""

    crash_on_ask_error = True

    def __init__(self, farewell_s: float) -> None:
        super().__init__()
        self.farewell_s = farewell_s

    async def on_stop(self) -> None:
        if self.farewell_s:
            await asyncio.sleep(self.farewell_s)

    async def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise RuntimeError("boom")
        if message == "leave":
            self.exit("normal")
        await asyncio.sleep(0.01)
        return message


@dataclass(slots=True)
class Branch:
    """A supervisor of the tree under test."""

    path: str
    strategy: str
    intensity: int
    period_s: float
    children: list[Branch | Leaf] = field(default_factory=list["Branch | Leaf"])


@dataclass(slots=True)
class Leaf:
    """A worker of the tree under test."""

    path: str
    restart: str
    shutdown_ms: int | str
    farewell_s: float


def random_tree(rng: random.Random, path: str, depth: int) -> Branch:
    """Return a small tree; the same for the same randomness."""
    branch = Branch(
        path, rng.choice(STRATEGIES), rng.randint(1, 4), rng.choice([1.0, 10.0, 3600.0])
    )
    for number in range(rng.randint(1, 3)):
        below = f"{path}/{'abc'[number]}"
        if depth and rng.random() < 0.4:
            branch.children.append(random_tree(rng, below, depth - 1))
        else:
            branch.children.append(
                Leaf(
                    below,
                    rng.choices(["permanent", "transient", "temporary"], [6, 2, 1])[0],
                    rng.choice([5000, 5000, 100, "brutal_kill", "infinity"]),
                    rng.choice([0.0, 0.0, 0.05, 1.0]),
                )
            )
    return branch


def leaves(branch: Branch) -> Iterator[Leaf]:
    """Yield the workers of a tree."""
    for child in branch.children:
        if isinstance(child, Leaf):
            yield child
        else:
            yield from leaves(child)


def branches(branch: Branch) -> Iterator[Branch]:
    """Yield the supervisors of a tree, the root first."""
    yield branch
    for child in branch.children:
        if isinstance(child, Branch):
            yield from branches(child)


def spec_of(node: Branch | Leaf) -> ChildSpec:
    """Return the child spec that starts *node* under its path as name."""
    if isinstance(node, Leaf):

        async def start_worker(supervisor: Supervisor) -> Any:
            return await supervisor.start_link(Worker, node.farewell_s, name=node.path)

        return ChildSpec(
            node.path, start_worker, restart=node.restart, shutdown_ms=node.shutdown_ms
        )  # type: ignore[arg-type]

    async def start_branch(supervisor: Supervisor) -> Any:
        return await supervisor.start_link(Supervisor, *plan_of(node), name=node.path)

    return ChildSpec(node.path, start_branch, type="supervisor")  # type: ignore[arg-type]


def plan_of(branch: Branch) -> tuple[SupervisorFlags, list[ChildSpec]]:
    """Return flags and children of a supervisor."""
    return (
        SupervisorFlags(branch.strategy, branch.intensity, branch.period_s),  # type: ignore[arg-type]
        [spec_of(child) for child in branch.children],
    )


@dataclass(slots=True)
class Life:
    """One incarnation of a path."""

    path: str
    parent: ActorRef[Any] | None
    ref: ActorRef[Any]
    began: int
    ended: int | None = None
    reason: Any = None


class Chronicle:
    """Every start and end of the tree, in order, and every report of its supervisors."""

    def __init__(self, sim: Simulation, tree: Branch) -> None:
        self.sim = sim
        self.tree = tree
        self.clock = 0
        self.lives: list[Life] = []
        self.of: dict[int, Life] = {}
        self.reports: list[tuple[int, float, SupervisorReport]] = []
        self.stopping = 10**9
        sim.system.on_actor_end(self.ended)
        sim.system.subscribe(self.report, SupervisorReport)
        observer = sim.observer
        before = observer.on_spawn

        def on_spawn(ref: Any, parent: Any) -> None:
            before(ref, parent)
            self.began(ref, parent)

        observer.on_spawn = on_spawn  # type: ignore[method-assign]

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def began(self, ref: ActorRef[Any], parent: ActorRef[Any] | None) -> None:
        if ref.name is not None and ref.name.startswith("root"):
            life = Life(ref.name, parent, ref, self.tick())
            self.lives.append(life)
            self.of[ref.pid] = life

    def ended(self, ref: ActorRef[Any], reason: Any) -> None:
        life = self.of.get(ref.pid)
        if life is not None:
            life.ended = self.tick()
            life.reason = reason

    def report(self, report: SupervisorReport) -> None:
        leaf = next((leaf for leaf in leaves(self.tree) if leaf.path == report.child), None)
        if leaf is not None and report.kind is ReportKind.CHILD_TERMINATED:
            wanted = leaf.restart == "permanent" or (
                leaf.restart == "transient" and not is_normal(report.reason)
            )
            self.sim.expect(
                wanted == ("not restarted" not in report.next),
                "the restart type decides which come back",
                f"{leaf.restart} {leaf.path} after {report.reason!r}: {report.next}",
            )
        self.reports.append((self.tick(), self.sim.time(), report))

    def runs(self, path: str) -> bool:
        """Whether some incarnation of *path* lives."""
        return any(life.path == path and life.ended is None for life in self.lives)

    # -- what must hold ----------------------------------------------------------------------------

    def check(self) -> None:
        supervisors = {life.ref.pid: life for life in self.lives}
        for branch in branches(self.tree):
            for life in (life for life in self.lives if life.path == branch.path):
                self._check_budget(branch, life)
                self._check_stop_order(branch, life, supervisors)
                self._check_reach(branch, life)

    def _check_budget(self, branch: Branch, life: Life) -> None:
        """No more restarts within the period than allowed, and no giving up before that."""
        if any(landed.where == branch.path for landed in self.sim.injector.landed):
            return  # it was itself hit, and may have counted a failure later than it was reported
        mine = [(at, time, r) for at, time, r in self.reports if r.supervisor is life.ref]
        times: list[float] = []
        certain: list[float] = []
        waiting: dict[Any, tuple[int, float]] = {}  # did not start, and is to be tried again
        for at, time, report in mine:
            if report.kind is ReportKind.SHUTDOWN:
                recent = [t for t in times[:-1] if time - t <= branch.period_s]
                self.sim.expect(
                    len(recent) >= branch.intensity,
                    "a supervisor gives up only when its budget is spent",
                    f"{branch.path} after {len(recent)} of {branch.intensity}",
                )
                return
            if report.kind in (ReportKind.CHILD_TERMINATED, ReportKind.START_ERROR):
                first = report.kind is ReportKind.START_ERROR and not times
                if "not restarted" in report.next or first:
                    continue  # nothing is restarted, or it is the supervisor's own start that failed
                for child, (since, failed) in list(waiting.items()):
                    del waiting[child]
                    if child != report.child and not self._began(child, life, since, at):
                        # Its next try is counted when its turn comes, or is part of this restart.
                        certain.remove(failed)
                times.append(time)
                certain.append(time)
                if report.kind is ReportKind.START_ERROR:
                    waiting[report.child] = (at, time)
                recent = [t for t in certain if time - t <= branch.period_s]
                over = len(recent) - branch.intensity
                alive = life.ended is None or life.ended > self.stopping
                self.sim.expect(
                    over <= 1, "the restart budget is never exceeded",
                    f"{branch.path}: {len(recent)} in {branch.period_s} s, {branch.intensity} allowed",
                )  # fmt: skip
                if over == 1 and alive and report is mine[-1][2]:
                    self.sim.violation(
                        "the restart budget is never exceeded",
                        f"{branch.path} lives on after {len(recent)} of {branch.intensity}",
                    )

    def _began(self, path: Any, supervisor: Life, after: int, before: int) -> bool:
        return any(
            life.path == path and life.parent is supervisor.ref and after < life.began < before
            for life in self.lives
        )

    def _check_stop_order(self, branch: Branch, life: Life, all_: dict[int, Life]) -> None:
        """A supervisor that ends in order ends its children first, the youngest first."""
        if life.ended is None or life.reason in ("killed", "noconnection"):
            return
        mine = [other for other in self.lives if other.parent is life.ref]
        last = [other for other in mine if other.ended is None or other.ended > self.stopping]
        for other in mine:
            self.sim.expect(
                other.ended is not None and other.ended < life.ended,
                "no child outlives its supervisor", f"{other.path} and {branch.path}",
            )  # fmt: skip
        if life.ended < self.stopping:
            return
        order = sorted(
            (other for other in last if other.ended is not None), key=lambda other: other.ended or 0
        )
        hit = {landed.where for landed in self.sim.injector.landed}
        for other in order:
            leaf = next((leaf for leaf in leaves(self.tree) if leaf.path == other.path), None)
            if leaf is None or other.path in hit or not isinstance(leaf.shutdown_ms, int):
                continue
            late = leaf.farewell_s * 1000 > leaf.shutdown_ms
            self.sim.expect(
                not late or other.reason != "shutdown",
                "a child that takes too long to end is killed",
                f"{other.path} took {leaf.farewell_s} s of {leaf.shutdown_ms} ms",
            )
        if any(other.reason != "shutdown" for other in order):
            return  # one that fails meanwhile ends when it does
        places = [[child.path for child in branch.children].index(o.path) for o in order]
        self.sim.expect(
            places == sorted(places, reverse=True), "children stop in reverse order",
            " ".join(other.path for other in order),
        )  # fmt: skip

    def _check_reach(self, branch: Branch, life: Life) -> None:
        """A failure restarts exactly those that the strategy names."""
        paths = [child.path for child in branch.children]
        until = life.ended if life.ended is not None and life.ended < self.stopping else None
        mine = [other for other in self.lives if other.parent is life.ref]
        failures = [
            (at, report)
            for at, _, report in self.reports
            if report.supervisor is life.ref
            and report.kind in (ReportKind.CHILD_TERMINATED, ReportKind.START_ERROR)
            and "not restarted" not in report.next
        ]
        if until is not None:
            return
        if branch.strategy != "one_for_one":
            current = [o for o in mine if o.ended is None or o.ended > self.stopping]
            places = [paths.index(o.path) for o in sorted(current, key=lambda o: o.began)]
            self.sim.expect(
                places == sorted(places),
                "children restarted together are started in order",
                f"{branch.path}: {[o.path for o in current]}",
            )
        for index, path in enumerate(paths):
            reached_by = {
                "one_for_one": [path],
                "one_for_all": paths,
                "rest_for_one": paths[: index + 1],
            }[branch.strategy]
            lives = [other for other in mine if other.path == path]
            relevant = [at for at, report in failures if report.child in reached_by]
            for one in lives:
                if one.ended is None or one.ended > self.stopping or one.reason != "shutdown":
                    continue
                if any(
                    r.kind is ReportKind.SHUTDOWN and r.supervisor is one.ref
                    for _, _, r in self.reports
                ):
                    continue  # a supervisor that has given up ends by itself
                told = any(at < one.ended for at in relevant)
                self.sim.expect(
                    told, "a failure leaves the others alone",
                    f"{path} of {branch.strategy} was stopped for no failure",
                )  # fmt: skip
            current = [one for one in lives if one.ended is None or one.ended > self.stopping]
            for one in current:
                older = [at for at in relevant if at > one.began]
                self.sim.expect(
                    not older, "a failure restarts all that the strategy names",
                    f"{path} of {branch.strategy} still runs from before a failure",
                )  # fmt: skip


async def trees(sim: Simulation) -> None:
    """A random tree under work and faults: afterwards all is as OTP's rules say."""
    rng = sim.random
    tree = random_tree(rng, "root", 2)
    chronicle = Chronicle(sim, tree)
    flags, children = plan_of(tree)
    root = sim.system.start(Supervisor, flags, children, _name="root")
    await asyncio.sleep(0.5)
    workers = list(leaves(tree))
    for _ in range(12):
        leaf = rng.choice(workers)
        ref = sim.system.whereis(leaf.path)
        if ref is not None:
            message = rng.choices(["work", "boom", "leave"], [8, 2, 1])[0]
            request = ref.request(message, timeout=30)
            if rng.random() < 0.5:
                await sim.attempt(request)
        await asyncio.sleep(rng.choice([0, 0.001, 0.1, 5]))
    await asyncio.sleep(50_000)
    await until_calm(sim, 1_000)  # a loop that was blocked just now is in the middle of a restart
    if root.is_alive():
        down = [leaf.path for leaf in workers if _should_run(chronicle, tree, leaf)]
        for path in down:
            sim.expect(
                chronicle.runs(path), "a permanent child runs",
                f"{path} is down although its supervisor lives",
            )  # fmt: skip
    chronicle.stopping = chronicle.tick()
    sim.data["chronicle"] = chronicle


def rules_of_trees(sim: Simulation) -> list[Violation]:
    """Return what the whole history of the tree, its end included, says against OTP's rules."""
    chronicle = sim.data.get("chronicle")
    if chronicle is not None:
        chronicle.check()
    return []


def _should_run(chronicle: Chronicle, tree: Branch, leaf: Leaf) -> bool:
    if leaf.restart != "permanent":
        return False
    parent = leaf.path.rsplit("/", 1)[0]
    return chronicle.runs(parent)


async def kept_messages(sim: Simulation) -> None:
    """Under the page's supervisor a told message is handled once, or its crash is accounted for."""
    rng = sim.random
    handled: dict[int, int] = {}
    in_order: dict[str, list[int]] = {}

    def handler(name: str) -> Any:
        async def handle(number: int) -> int:
            handled[number] = handled.get(number, 0) + 1
            in_order.setdefault(name, []).append(number)
            await asyncio.sleep(0.01)
            return number

        return handle

    agents = [Agent(f"agent{n}", handler=handler(f"agent{n}")) for n in range(3)]
    supervisor = AgentSupervisor(
        "pool",
        rng.choice([SupervisionStrategy.ONE_FOR_ONE, SupervisionStrategy.ONE_FOR_ALL]),
        RestartPolicy(
            max_restarts=1000,
            within_seconds=60,
            initial_delay_ms=rng.choice([0, 100, 1000]),
        ),
    )
    for agent in agents:
        supervisor.add_child(agent.name, agent)
    await supervisor.start()
    dead: list[Any] = []
    sim.system.dead_letters.subscribe(dead.append)
    asked: list[tuple[int, Any]] = []
    told: list[int] = []
    for number in range(30):
        agent = rng.choice(agents)
        if rng.random() < 0.5:
            asked.append((number, agent.request(number, timeout=5000)))
        else:
            agent.tell(number)
            told.append(number)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
    failed = 0
    for number, request in asked:
        outcome = await sim.attempt(request)
        failed += not outcome.ok
        if outcome.ok:
            sim.expect(
                outcome.value == number, "the answer is that to the question", f"{outcome.value!r}"
            )
    await asyncio.sleep(5000)
    for number, times in handled.items():
        sim.expect(times == 1, "no message is handled twice", f"{number}: {times} times")
    slowed = {
        landed.where
        for landed in sim.injector.landed
        if landed.fault.kind in ("slow", "swallow_cancel")
    }
    for name, numbers in in_order.items():
        # A slowed handler does its work late, and meanwhile the next incarnation does its own.
        sim.expect(
            numbers == sorted(numbers) or name in slowed,
            "what waits for the next incarnation keeps its order",
            f"{name}: {numbers}",
        )
    missing = [number for number in told if number not in handled]
    lost = {getattr(letter.message, "payload", None) for letter in dead}
    for number in missing:
        sim.expect(number in lost, "no told message vanishes", f"{number} is nowhere")
    await until_calm(sim, 100)  # one that was hit just now is back after its backoff
    for agent in agents:
        child = supervisor.child(agent.name)
        sim.expect(child.is_alive, "an agent within its budget is running", f"{child!r}")
    await supervisor.stop()
