"""Replays supervision scenarios on our supervisors: `run(scenario)` returns the trace.

The supervisors are real ones, in a real actor system, driven through their mailboxes and by exit
signals; only time is virtual. The scenarios were recorded from OTP's own supervisor; the words of
a trace are OTP's, so what comes out of our supervisors (refs, exceptions, typed results) is mapped
to those words here, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from loguru import logger

from agenticaiframework.actors import Actor, ActorDied, ActorExit, ActorRef, ActorSystem, Down, Exit
from agenticaiframework.actors.simulation import SimLoop
from agenticaiframework.supervision import (
    AlreadyStarted,
    BadReturn,
    BadStartSpec,
    ChildProblem,
    ChildSpec,
    CountChildren,
    DeleteChild,
    Error,
    FailedToStartChild,
    GetChildSpec,
    Ok,
    ReportKind,
    RestartChild,
    SpecError,
    SpecProblem,
    StartChild,
    StartCrashed,
    Started,
    StartError,
    StartSpec,
    Supervisor,
    SupervisorData,
    SupervisorReport,
    TerminateChild,
    WhichChildren,
)

Json = Any

OTP_WORDS = {
    SpecProblem.INVALID_START: "invalid_mfa",
    SpecProblem.INVALID_RESTART: "invalid_restart_type",
    SpecProblem.INVALID_SIGNIFICANT: "invalid_significant",
    SpecProblem.INVALID_TYPE: "invalid_child_type",
    SpecProblem.INVALID_SHUTDOWN: "invalid_shutdown",
    SpecProblem.DUPLICATE: "duplicate_child_name",
}


class Boom(Exception):
    word = "boom"


class InitRaised(Exception):
    word = "init_raised"


class StartRaised(Exception):
    word = "start_crashed"


class LinkedToTheDead(Exception):
    """What Erlang's `link` raises in a process that does not trap exits."""

    word = "noproc"


class Parent(Actor):
    """Starts the root and stops it, as the root's parent."""

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit | Down):
            return None
        return message(self)


class Worker(Actor):
    """The test worker: does what the steps tell it, and records the signals it gets."""

    obey_parent = False

    def __init__(self, replay: Replay, path: str, attempt: int, spec: Json, outcome: str) -> None:
        super().__init__()
        self.replay = replay
        self.path, self.attempt, self.outcome = path, attempt, outcome
        self.on_shutdown = spec.get("on_shutdown")
        self.trap_exit = bool(spec.get("trap_exit")) or self.on_shutdown is not None

    def on_start(self) -> None:
        self.replay.begin(self, "worker")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            if message.ref is not None and message.ref is self.parent:
                return self.obey(message.reason)
            self.replay.signal("exit_msg", self, message.ref, message.reason)
        elif isinstance(message, Down):
            self.replay.signal("down", self, message.ref, message.reason)
        else:
            message(self)
        return None

    async def obey(self, reason: Any) -> None:
        how = self.on_shutdown
        if how == "ignore":
            # It never ends, whatever it is told from now on; only a kill removes it.
            await self.replay.loop.create_future()
        if how is not None:
            if how["after_ms"]:
                await asyncio.sleep(how["after_ms"] / 1000)
            if "reason" in how:
                reason = to_reason(how["reason"])
        self.exit(reason)


class ReplayedSupervisor(Supervisor):
    """Our supervisor, with the scenario's flags and children as its `init`."""

    def __init__(self, replay: Replay, path: str, attempt: int, sup: Json, outcome: str) -> None:
        super().__init__()
        self.replay = replay
        self.path, self.attempt, self.sup, self.outcome = path, attempt, sup, outcome

    def init(self) -> Any:
        if not self.replay.begin(self, "supervisor"):
            return None if self.outcome == "ignore" else "bad"
        sup = self.sup
        flags = {
            ours: sup[key]
            for key, ours in (
                ("strategy", "strategy"),
                ("intensity", "intensity"),
                ("period", "period_s"),
                ("auto_shutdown", "auto_shutdown"),
            )
            if key in sup
        }
        simple = sup.get("strategy") == "simple_one_for_one"
        children = sup.get("children", [])
        return flags, [self.replay.child_spec(self.path, child, simple) for child in children]


def to_reason(value: Json) -> Any:
    """Return the exit reason that a scenario means."""
    return tuple(value) if isinstance(value, list) else value


class Replay:
    """One run of one scenario."""

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.attempts: dict[str, int] = {}
        self.latest: dict[str, ActorRef[Any]] = {}
        self.name_of: dict[Any, str] = {}
        self.kind: dict[Any, str] = {}
        self.events: list[Json] = []
        self.signals: list[Json] = []
        self.reports: list[Json] = []
        self.gate_path: str | None = None
        self.held: asyncio.Future[None] | None = None
        self.waited_s = 0.0
        self.loop = SimLoop()

    # -- starting processes --------------------------------------------------------------------

    def child_spec(self, sup_path: str, child: Json, simple: bool = False) -> Any:
        """Return the specification that *child* means, right or wrong."""
        if not isinstance(child, dict):
            return child
        spec = {key: child[key] for key in ("restart", "type", "significant") if key in child}
        if "shutdown" in child:
            spec["shutdown_ms"] = child["shutdown"]
        if child.get("id") is not None:
            spec["id"] = child["id"]
        if "start" in child:
            if child["start"] is not None:
                spec["start"] = child["start"]
        elif simple:
            spec["start"] = lambda sup, name, own: self.start_function(
                sup, f"{sup_path}/{name}", {**child, **own}
            )
        else:
            path = f"{sup_path}/{child.get('id')}"
            spec["start"] = lambda sup: self.start_function(sup, path, child)
        return spec

    async def start_function(self, sup: Actor, path: str, spec: Json) -> Any:
        attempt = self.attempts[path] = self.attempts.get(path, 0) + 1
        if self.gate_path == path:
            self.gate_path = None
            self.held = self.loop.create_future()
            await self.held
        starts = spec.get("starts", [])
        outcome = starts[attempt - 1] if attempt <= len(starts) else "ok"
        if outcome in ("error", "crash"):
            self.events.append(["start_fail", path, attempt])
            if outcome == "crash":
                raise StartRaised
            return StartError("no_resource")
        ref: ActorRef[Any] | None
        if "sup" in spec:
            ref = await sup.start_link(
                ReplayedSupervisor, self, path, attempt, spec["sup"], outcome
            )
        else:
            ref = await sup.start_link(Worker, self, path, attempt, spec, outcome)
        return Started(ref, "extra") if outcome == "extra" and ref is not None else ref

    def begin(self, actor: Worker | ReplayedSupervisor, kind: str) -> bool:
        """Let a new process record its beginning, and fail as the scenario says."""
        path, attempt, outcome = actor.path, actor.attempt, actor.outcome
        if outcome in ("fail", "raise", "bad"):
            self.events.append(["start_fail", path, attempt])
            if outcome == "fail":
                raise ActorExit("init_failed")
            if outcome == "raise":
                raise InitRaised
            return False
        if outcome == "ignore":
            self.events.append(["ignored", path, attempt])
            if kind == "worker":
                from agenticaiframework.actors import Ignore

                raise Ignore
            return False
        ref = actor.actor_ref
        self.latest[path] = ref
        self.name_of[ref] = f"{path}#{attempt}"
        self.kind[ref] = kind
        self.events.append(["start", path, attempt])
        return True

    # -- what happens --------------------------------------------------------------------------

    def on_end(self, ref: Any, reason: Any) -> None:
        name = self.name_of.get(ref)
        if name is not None:
            path, attempt = name.rsplit("#", 1)
            self.events.append(["exit", path, int(attempt), self.reason(reason)])

    def signal(self, kind: str, receiver: Actor, sender: Any, reason: Any) -> None:
        self.signals.append(
            [
                kind,
                self.name_of[receiver.actor_ref],
                self.name_of.get(sender, "<test>"),
                self.reason(reason),
            ]
        )

    def on_report(self, report: SupervisorReport) -> None:
        if report.kind in (
            ReportKind.CHILD_TERMINATED,
            ReportKind.START_ERROR,
            ReportKind.SHUTDOWN_ERROR,
            ReportKind.SHUTDOWN,
        ):
            path = self.name_of[report.supervisor].rsplit("#", 1)[0]
            self.reports.append([str(report.kind), path, report.child, self.reason(report.reason)])

    # -- values --------------------------------------------------------------------------------

    def reason(self, value: Any) -> Json:
        """Return OTP's words for an exit reason of ours."""
        match value:
            case Boom() | InitRaised() | StartRaised() | LinkedToTheDead():
                return ["error", value.word]
            case StartCrashed(error):
                return ["EXIT", self.reason(error)]
            case FailedToStartChild(id=child, reason=reason):
                return ["failed_to_start_child", child, self.reason(reason)]
            case SupervisorData(error):
                return ["supervisor_data", [str(error.problem), error.value]]
            case StartSpec(error):
                return ["start_spec", self.spec_error(error)]
            case BadStartSpec():
                return ["bad_start_spec", "$specs"]
            case BadReturn():
                return ["bad_return", "bad"]
            case tuple():
                return [self.reason(part) for part in value]
            case str():
                return value
            case _:
                return ["unexpected", repr(value)]

    def spec_error(self, error: SpecError) -> Json:
        match error.problem:
            case SpecProblem.NOT_A_SPEC:
                return ["invalid_child_spec", "not_a_spec"]
            case SpecProblem.MISSING_ID | SpecProblem.MISSING_START:
                return str(error.problem)
            case SpecProblem.SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN:
                return ["bad_combination", [["auto_shutdown", "never"], ["significant", True]]]
            case SpecProblem.SIGNIFICANT_AND_PERMANENT:
                return ["bad_combination", [["restart", "permanent"], ["significant", True]]]
            case problem:
                return [OTP_WORDS[problem], error.value]

    def result(self, op: str, value: Any) -> Json:
        """Return OTP's words for a supervisor's answer."""
        match value:
            case Error(SpecError() as error):
                return ["error", self.spec_error(error)]
            case Error(ChildProblem() as problem):
                return ["error", str(problem)]
            case Error(AlreadyStarted(ref)):
                return ["error", ["already_started", self.name_of[ref]]]
            case Error(StartError(reason, spec)):
                words = self.reason(reason)
                return ["error", words if spec is None else [words, "$child"]]
            case Ok(ChildSpec() as spec):
                return [
                    "ok",
                    {
                        "id": spec.id,
                        "restart": str(spec.restart),
                        "shutdown": spec.shutdown_ms,
                        "type": str(spec.type),
                        "significant": spec.significant,
                    },
                ]
            case Ok(None) if op in ("start_child", "restart_child"):
                return ["ok", "undefined"]
            case Ok(None):
                return "ok"
            case Ok(ref, None):
                return ["ok", self.name_of[ref]]
            case Ok(ref, info):
                return ["ok", self.name_of[ref], info]
            case list():
                return [self.line(info) for info in value]
            case _:
                return {
                    "specs": value.specs,
                    "active": value.active,
                    "supervisors": value.supervisors,
                    "workers": value.workers,
                }

    def line(self, info: Any) -> Json:
        child = info.child
        if child is None:
            child = "undefined"
        elif child != "restarting":
            child = self.name_of[child]
        return ["undefined" if info.id is None else info.id, child, str(info.type)]

    # -- steps ---------------------------------------------------------------------------------

    def live(self, path: str, kind: str) -> ActorRef[Any] | None:
        ref = self.latest.get(path)
        return ref if ref is not None and self.kind[ref] == kind and ref.is_alive() else None

    def inside(self, fn: Callable[[], Any]) -> None:
        """Run *fn* on the loop, outside of any actor."""
        self.loop.call_soon(fn)

    def post(self, op: Json) -> Callable[[], Json]:
        """Deliver the stimulus of one step; return what gives its outcome once all is quiet."""
        kind = op["op"]
        if kind == "exit":
            return self.post_exit(op)
        if kind == "stop":
            root = self.latest.get("root")
            if root is None or not root.is_alive():
                return lambda: "noproc"
            reason = to_reason(op.get("reason", "shutdown"))
            self.inside(lambda: self.parent.tell(lambda _parent: root.exit(reason)))
            return lambda: "ok"
        if "sup" in op:
            return self.post_request(op)
        return self.post_to_worker(op)

    def post_exit(self, op: Json) -> Callable[[], Json]:
        ref = self.latest.get(op["path"])
        if ref is None or not ref.is_alive():
            return lambda: "noproc"
        reason = to_reason(op["reason"])
        if op.get("how", "self") == "signal" or self.kind[ref] == "supervisor":
            self.inside(lambda: ref.exit(reason))
        else:

            def end(worker: Actor) -> None:
                if reason == "crash":
                    raise Boom
                raise ActorExit(reason)

            self.inside(lambda: ref.tell(end))
        return lambda: "ok"

    def post_to_worker(self, op: Json) -> Callable[[], Json]:
        worker = self.live(op["path"], "worker")
        if worker is None:
            return lambda: "noproc"
        kind = op["op"]
        if kind == "trap_exit":

            def act(actor: Actor) -> None:
                actor.trap_exit = op["value"]
        else:
            target = self.latest.get(op["target"])
            if target is None:
                return lambda: "noproc"

            def act(actor: Actor) -> None:
                if kind == "link" and not actor.trap_exit and not target.is_alive():
                    raise LinkedToTheDead
                getattr(actor, kind)(target)

        self.inside(lambda: worker.tell(act))
        return lambda: "ok"

    def post_request(self, op: Json) -> Callable[[], Json]:
        sup = self.live(op["sup"], "supervisor")
        if sup is None:
            return lambda: "noproc"
        message = self.message(op)
        if message is None:
            return lambda: "nopid"
        return self.call(sup, op["op"], message)

    def call(self, sup: ActorRef[Any], op: str, message: Any) -> Callable[[], Json]:
        async def ask() -> Json:
            try:
                return self.result(op, await sup.request(message))
            except ActorDied as died:
                return ["call_exit", self.reason(died.reason)]

        task = self.loop.create_task(ask())
        return lambda: task.result()

    def message(self, op: Json) -> Any:
        kind = op["op"]
        if kind == "which_children":
            return WhichChildren()
        if kind == "count_children":
            return CountChildren()
        if kind == "start_child":
            if "name" not in op:
                return StartChild(self.child_spec(op["sup"], op["spec"]))
            own = {key: op[key] for key in ("starts", "on_shutdown", "trap_exit") if key in op}
            return StartChild((op["name"], own))
        child: Any = op["id"]
        if op.get("by") == "pid":
            child = self.latest.get(f"{op['sup']}/{child}")
        elif op.get("by") == "path_pid":
            child = self.latest.get(child)
        if child is None:
            return None
        kinds: dict[str, Any] = {
            "terminate_child": TerminateChild,
            "restart_child": RestartChild,
            "delete_child": DeleteChild,
            "get_childspec": GetChildSpec,
        }
        return kinds[kind](child)

    def run_step(self, op: Json) -> Json:
        kind = op["op"]
        if kind == "wait":
            self.waited_s += op["s"]
            self.loop.advance_to(self.waited_s)
            self.loop.settle()
            return "ok"
        if kind == "batch":
            return self.run_batch(op)
        if kind == "exit" and "during" in op:
            return self.run_during(op)
        get = self.post(op)
        self.loop.settle()
        return get()

    def run_batch(self, op: Json) -> Json:
        sup = self.live(op["sup"], "supervisor")
        if sup is None:
            return "noproc"
        self.system.suspend(sup)
        gets = []
        for inner in op["ops"]:
            gets.append(self.post(inner))
            self.loop.settle_ready()
        self.system.resume(sup)
        self.loop.settle()
        return [get() for get in gets]

    def run_during(self, op: Json) -> Json:
        self.gate_path = op["path"]
        first = self.post({key: value for key, value in op.items() if key != "during"})
        self.loop.settle()
        held = self.held
        if held is None:
            self.gate_path = None
            return {"exit": first(), "during": "not_reached"}
        gets = []
        for inner in op["during"]:
            gets.append(self.post(inner))
            self.loop.settle_ready()
        self.held = None
        if not held.done():  # a supervisor that was killed in its hold has gone
            held.set_result(None)
        self.loop.settle()
        return {"exit": first(), "during": [get() for get in gets]}

    def take(self, ret: Json) -> Json:
        step = {
            "ret": ret,
            "events": self.events,
            "signals": self.signals,
            "reports": self.reports,
        }
        self.events, self.signals, self.reports = [], [], []
        return step

    # -- the whole -----------------------------------------------------------------------------

    async def open(self) -> None:
        self.system = await ActorSystem(name="replay", seed=0).__aenter__()
        self.system.on_actor_end(self.on_end)
        self.system.subscribe(self.on_report, SupervisorReport)
        self.parent = self.system.start(Parent)

    def start_root(self) -> Callable[[], Json]:
        root = self.scenario["root"]
        outcome: list[Any] = []

        async def start(parent: Actor) -> None:
            try:
                ref = await self.start_function(parent, "root", {**root, "sup": root})
            except Exception as error:
                outcome.append(["error", self.reason(getattr(error, "reason", error))])
            else:
                outcome.append("ignore" if ref is None else ["ok", self.name_of[ref]])

        self.inside(lambda: self.parent.tell(start))
        return lambda: outcome[0]

    def final(self) -> Json:
        sups = {}
        for path, ref in self.latest.items():
            if self.kind[ref] == "supervisor" and ref.is_alive():
                which = self.call(ref, "which_children", WhichChildren())
                count = self.call(ref, "count_children", CountChildren())
                self.loop.settle_ready()
                sups[path] = {"which": which(), "count": count()}
        alive = sorted(name for ref, name in self.name_of.items() if ref.is_alive())
        return {"alive": alive, "sups": sups}

    def run(self) -> Json:
        loop = self.loop
        try:
            loop.run_until_complete(self.open())
            get = self.start_root()
            loop.settle()
            steps = [self.take(get())]
            steps += [self.take(self.run_step(op)) for op in self.scenario["steps"]]
            return {"id": self.scenario["id"], "steps": steps, "final": self.final()}
        finally:
            for ref in list(self.name_of):
                ref.kill()
            loop.run_until_complete(self.system.stop(timeout=1))
            loop.close()


def run(scenario: Json) -> Json:
    """Return what our supervisors do in *scenario*, as a trace."""
    logger.disable("agenticaiframework")
    try:
        return Replay(scenario).run()
    finally:
        logger.enable("agenticaiframework")
