"""The machine of a run, driven by hand: it is told what happened, and says what is to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.patterns.engine import define_workflow
from agenticaiframework.patterns.engine.runner.attempt import StepAttempt
from agenticaiframework.patterns.engine.runner.machine import RunMachine
from agenticaiframework.patterns.engine.runner.orders import Group, Orders
from agenticaiframework.patterns.engine.state.cancellation import Cancellation
from agenticaiframework.patterns.engine.state.events import EventKind
from agenticaiframework.patterns.engine.state.run import Run
from agenticaiframework.patterns.engine.state.views import state_of
from agenticaiframework.patterns.engine.store import Signal


class Target:
    """Stands for what can be asked: the machine only hands it on."""

    def __init__(self, name: str) -> None:
        self.name = name


class Driver:
    """Drives the machine of one run, and remembers what it wanted done."""

    def __init__(self, *steps: Any, stored: bool = False, run: Run | None = None, **more: Any):
        given = [{"id": s, "agent": s} if isinstance(s, str) else s for s in steps]
        if run is None:
            plan = define_workflow({"name": "flow", "steps": given, **more}).plan
            run = Run("w", plan, {"n": 1}, 0.0)
            run.persist = stored
        self.run = run
        self.now = 100.0
        self.chances: list[float] = []
        self.machine = self.new()
        self.asked: list[StepAttempt] = []
        """Attempts that have been started and have not ended."""
        self.written: list[Group] = []
        self.told: list[str] = []
        self.orders = Orders()

    def new(self, **options: Any) -> RunMachine:
        bound = [Target(str(plan.definition.agent or "")) for plan in self.run.plan.steps]
        return RunMachine(self.run, bound, self.resolve, self.chance, **options)  # type: ignore[arg-type]

    def resolve(self, target: Any) -> Any:
        if target == "nobody":
            raise LookupError("nobody")
        return Target(target)

    def chance(self) -> float:
        return self.chances.pop()

    # -- what happens --------------------------------------------------------------------------

    def carry_out(self, orders: Orders) -> Driver:
        """Do what the machine says, as its coordinator does; the stores acknowledge when told."""
        while orders.stop:
            stopped, orders.stop = orders.stop, []
            for attempt in stopped:
                if attempt in self.asked:
                    self.asked.remove(attempt)
            orders = self.machine.stopped(stopped, self.now)
        if orders.write is not None:
            self.written.append(orders.write)
            orders.write = None
        self.told += [str(event.kind) for event in orders.tell]
        orders.tell.clear()
        self.asked += orders.start
        orders.start.clear()
        self.orders = orders
        return self

    def begin(self, cancellation: Cancellation | None = None, signals: Any = ()) -> Driver:
        return self.carry_out(self.machine.begin(self.now, list(signals), cancellation))

    def answer(self, name: str, value: Any = "done") -> Driver:
        attempt = self.take(name)
        return self.carry_out(self.machine.answered(attempt, value, self.now))

    def fail(self, name: str, error: BaseException | None = None) -> Driver:
        attempt = self.take(name)
        return self.carry_out(self.machine.failed(attempt, error or ValueError("broken"), self.now))

    def take(self, name: str) -> StepAttempt:
        [attempt, *_] = [one for one in self.asked if label(one) == name]
        self.asked.remove(attempt)
        return attempt

    def at(self, now: float) -> Driver:
        self.now = now
        return self.carry_out(self.machine.ticked(now))

    def signal(self, *names: str) -> Driver:
        self.signals = [
            Signal(n, "w", name, {"said": name}, 0.0) for n, name in enumerate(names, 1)
        ]
        return self.carry_out(self.machine.signalled(self.signals, self.now))

    def cancel(self, **how: Any) -> Driver:
        return self.carry_out(self.machine.cancelled(Cancellation("enough", **how), self.now))

    def acknowledge(self) -> Driver:
        group = self.written.pop(0)
        return self.carry_out(self.machine.acknowledged(group, self.now))

    # -- what can be seen ------------------------------------------------------------------------

    @property
    def asks(self) -> list[str]:
        return [label(attempt) for attempt in self.asked]

    @property
    def states(self) -> list[str]:
        return ["-" if found is None else str(found.state) for found in self.run.steps]

    @property
    def ended(self) -> str:
        assert self.machine.ended
        assert self.orders.rest
        assert not self.asked
        return str(self.run.state)


def label(attempt: StepAttempt) -> str:
    """Return an attempt as a text: whom it asks, which item, and whether it undoes."""
    item = "" if attempt.item is None else f"[{attempt.item}]"
    return f"{'undo ' if attempt.undo else ''}{attempt.target.name}{item}"


def drive(*steps: Any, **more: Any) -> Driver:
    return Driver(*steps, **more).begin()


def test_steps_are_asked_one_after_the_other_and_the_run_is_completed() -> None:
    d = drive("a", "b")
    assert d.asks == ["a"]
    assert not d.orders.rest
    assert d.answer("a", {"x": 1}).asks == ["b"]
    assert d.asked[0].payload == {"x": 1}
    assert d.answer("b").ended == "completed"
    assert d.machine.result == {"a": {"x": 1}, "b": "done"}


def test_an_answer_that_comes_again_or_too_late_changes_nothing() -> None:
    d = drive("a", "b")
    first = d.asked[0]
    d.answer("a", 1)
    d.carry_out(d.machine.answered(first, 2, d.now))
    d.carry_out(d.machine.failed(first, ValueError(), d.now))
    assert d.asks == ["b"]
    assert d.run.scope["a"] == 1


def test_a_condition_that_does_not_hold_skips_the_step_and_releases_the_next() -> None:
    d = drive({"id": "a", "agent": "a", "condition": "input.n == 2"}, "b")
    assert d.states == ["skipped", "running"]
    assert d.asks == ["b"]
    assert d.asked[0].payload == {"n": 1}


def test_a_failed_attempt_is_made_again_when_its_pause_is_over() -> None:
    retry = {"attempts": 2, "initial_delay_s": 5, "jitter": 0.5}
    d = Driver({"id": "a", "agent": "a", "retry": retry})
    d.chances = [1.0]
    d.begin().fail("a")
    assert d.asks == []
    assert d.orders.rest
    assert d.states == ["retrying"]
    assert d.run.steps[0] is not None
    assert d.run.steps[0].due_at == 102.5
    assert d.at(102.0).asks == []
    assert d.at(102.5).asks == ["a"]
    assert d.asked[0].number == 2
    assert d.answer("a").ended == "completed"
    assert d.run.steps[0].error is None
    assert d.run.last_error == "ValueError: broken"


def test_the_last_attempt_fails_the_step_and_the_run() -> None:
    d = drive({"id": "a", "agent": "a", "retry": 2}, "b").fail("a")
    d.at(d.now + 60).fail("a")
    assert d.ended == "failed"
    assert d.states == ["failed", "-"]
    assert d.machine.failure is not None
    assert d.machine.failure.step == "a"
    assert d.machine.failure.attempts == 2


@pytest.mark.parametrize(
    ("on_error", "state", "output"),
    [("skip", "skipped", None), ({"default": 7}, "completed", 7)],
)
def test_something_stands_in_for_what_failed(on_error: Any, state: str, output: Any) -> None:
    d = drive({"id": "a", "agent": "a", "on_error": on_error}, "b").fail("a")
    assert d.states == [state, "running"]
    assert d.run.scope["a"] == output
    assert d.run.steps[0] is not None
    assert d.run.steps[0].error == "ValueError: broken"


def test_a_fallback_is_asked_once_instead() -> None:
    d = drive({"id": "a", "agent": "a", "on_error": {"fallback": "spare"}}).fail("a")
    assert d.asks == ["spare"]
    assert d.asked[0].number == 2
    assert d.fail("spare").ended == "failed"


def test_a_fallback_that_cannot_be_found_fails_the_step() -> None:
    d = drive({"id": "a", "agent": "a", "on_error": {"fallback": "nobody"}}).fail("a")
    assert d.ended == "failed"


def test_items_run_beside_each_other_as_many_as_may() -> None:
    d = drive({"id": "a", "agent": "a", "for_each": [5, 6, 7], "max_concurrency": 2}, "b")
    assert d.asks == ["a[0]", "a[1]"]
    assert d.answer("a[1]", "y").asks == ["a[0]", "a[2]"]
    d.answer("a[2]", "z")
    assert d.answer("a[0]", "x").asks == ["b"]
    assert d.run.scope["a"] == ["x", "y", "z"]


def test_an_item_that_is_tried_again_keeps_its_place() -> None:
    retry = {"attempts": 2, "initial_delay_s": 5}
    d = drive({"id": "a", "agent": "a", "for_each": [5, 6], "max_concurrency": 1, "retry": retry})
    assert d.fail("a[0]").asks == []
    assert d.at(105).asks == ["a[0]"]
    assert d.answer("a[0]").asks == ["a[1]"]
    assert d.answer("a[1]").ended == "completed"


def test_an_item_that_is_tried_too_often_fails_its_step() -> None:
    retry = {"attempts": 2, "initial_delay_s": 5}
    d = drive({"id": "a", "agent": "a", "for_each": [5, 6], "max_concurrency": 1, "retry": retry})
    d.fail("a[0]")
    assert state_of(d.run) == "waiting"
    assert d.at(105).fail("a[0]").ended == "failed"


def test_what_is_not_a_list_fails_for_each() -> None:
    d = drive({"id": "a", "agent": "a", "for_each": "$input.n"})
    assert d.ended == "failed"
    assert "needs a list" in (d.run.last_error or "")


def test_a_loop_goes_round_until_its_output_says_so() -> None:
    d = drive({"id": "a", "agent": "a", "max_iterations": 3})
    d.answer("a", {"done": False, "draft": 1})
    assert d.asks == ["a"]
    assert d.asked[0].iteration == 2
    assert d.asked[0].payload == {"n": 1, "done": False, "draft": 1}
    assert d.answer("a", {"done": True}).ended == "completed"


def test_a_loop_ends_after_its_last_round() -> None:
    d = drive({"id": "a", "agent": "a", "max_iterations": 2}).answer("a", {"done": False})
    assert d.answer("a", {"done": False}).ended == "completed"


def test_a_step_waits_for_its_signal_and_leaves_the_others() -> None:
    d = drive({"id": "w", "wait_for": "go"}, "b")
    assert d.orders.rest
    assert not d.machine.ended
    assert d.states == ["waiting", "-"]
    d.signal("other", "go")
    assert d.asks == ["b"]
    assert d.asked[0].payload == {"said": "go"}
    assert [signal.name for signal in d.signals] == ["other"]


def test_a_signal_that_was_there_before_is_taken_at_once() -> None:
    d = Driver({"id": "w", "wait_for": "go"}, stored=True)
    d.begin(signals=[Signal(4, "w", "go", "x", 0.0)])
    [group] = d.written
    assert group.used == (4,)
    assert d.run.scope["w"] == "x"


def test_a_wait_whose_time_is_over_takes_its_default_or_fails() -> None:
    wait = {"signal": "go", "timeout_seconds": 5}
    d = drive({"id": "w", "wait_for": {**wait, "default": 0}})
    assert d.at(105).ended == "completed"
    assert d.run.scope["w"] == 0
    assert drive({"id": "w", "wait_for": wait}).at(105).ended == "failed"


def test_a_delay_ends_at_its_time_and_not_before() -> None:
    d = drive({"id": "d", "delay": 5}, "b", {"id": "c", "agent": "c", "depends_on": []})
    assert d.asks == ["c"]
    assert d.orders.wake_at == 105
    assert d.at(104).asks == ["c"]
    assert d.at(105).asks == ["c", "b"]


def test_the_time_limit_of_the_run_stops_what_is_under_way() -> None:
    d = drive("a", timeout_seconds=5)
    assert d.orders.wake_at == 105
    assert d.at(105).ended == "failed"
    assert d.states == ["cancelled"]
    assert isinstance(d.machine.failure, TimeoutError)


def test_what_runs_while_another_step_fails_may_finish() -> None:
    d = drive("a", {"id": "b", "agent": "b", "depends_on": []}, "c").fail("a")
    assert d.asks == ["b"]
    assert not d.machine.ended
    assert d.answer("b").ended == "failed"
    assert d.states == ["failed", "completed", "-"]


def test_the_first_failure_is_the_one_that_is_told() -> None:
    d = drive("a", {"id": "b", "agent": "b", "depends_on": []}).fail("a").fail("b")
    assert d.ended == "failed"
    assert d.machine.failure is not None
    assert d.machine.failure.step == "a"


def test_what_fails_while_the_run_ends_is_not_tried_again() -> None:
    d = drive({"id": "a", "agent": "a", "retry": 3}).cancel(graceful=True).fail("a")
    assert d.ended == "cancelled"
    assert d.states == ["failed"]


def test_a_failure_stops_the_others_where_that_is_declared() -> None:
    d = drive("a", {"id": "b", "agent": "b", "depends_on": []}, on_failure="cancel").fail("a")
    assert d.ended == "failed"
    assert d.states == ["failed", "cancelled"]


UNDO = [{"id": s, "agent": s, "compensate": f"un{s}"} for s in ("a", "b")]


def test_finished_steps_are_undone_the_latest_first() -> None:
    d = drive(*UNDO, "c").answer("a", 1)
    d.now = 101
    d.answer("b", 2).fail("c")
    assert d.asks == ["undo unb"]
    assert d.asked[0].payload == 2
    assert d.run.state == "compensating"
    assert d.answer("undo unb").asks == ["undo una"]
    assert d.answer("undo una").ended == "failed"
    assert d.run.compensated == ("b", "a")
    assert d.run.finished_steps == 0


def test_an_undo_that_fails_is_kept_and_the_others_go_on() -> None:
    d = drive(*UNDO, "c").answer("a")
    d.now = 101
    d.answer("b").fail("c").fail("undo unb")
    assert d.asks == ["undo una"]
    assert d.answer("undo una").ended == "failed"
    assert d.run.undo_failed == ("b",)
    assert d.run.compensated == ("a",)


def test_an_undo_is_tried_again_and_the_run_does_not_end_in_the_pause() -> None:
    compensate = {"agent": "una", "retry": {"attempts": 2, "initial_delay_s": 5}}
    retry = {"attempts": 3, "initial_delay_s": 0}
    d = drive({"id": "a", "agent": "a", "retry": retry, "compensate": compensate}, "b")
    # What its own attempts have failed with does not count against the retries of its undo.
    d.fail("a").fail("a").answer("a").fail("b").fail("undo una")
    assert d.asks == []
    assert not d.orders.rest
    assert d.orders.wake_at == 105
    assert d.at(104).asks == []
    assert d.at(105).asks == ["undo una"]
    assert d.answer("undo una").ended == "failed"
    assert d.run.compensated == ("a",)


def test_an_undo_without_its_agent_fails_and_the_run_ends() -> None:
    d = drive({"id": "a", "agent": "a", "compensate": "nobody"}, "b").answer("a").fail("b")
    assert d.ended == "failed"
    assert d.run.undo_failed == ("a",)


def test_cancelling_stops_what_is_under_way_and_undoes_what_was_done() -> None:
    d = drive(*UNDO).answer("a").cancel()
    assert d.asks == ["undo una"]
    assert d.run.state == "cancelling"
    assert d.machine.stopped_steps == ("b",)
    assert d.answer("undo una").ended == "cancelled"


def test_cancelling_gracefully_lets_the_running_steps_finish() -> None:
    d = drive("a", "b").cancel(graceful=True)
    assert d.asks == ["a"]
    assert d.answer("a").ended == "cancelled"
    assert d.states == ["completed", "-"]


def test_cancelling_without_compensation_undoes_nothing() -> None:
    assert drive(*UNDO).answer("a").cancel(compensate=False).ended == "cancelled"


def test_a_waiting_run_is_cancelled_at_once() -> None:
    d = drive({"id": "w", "wait_for": "go"}).cancel()
    assert d.ended == "cancelled"
    assert d.states == ["cancelled"]


def test_a_failure_while_it_is_cancelled_does_not_make_it_fail() -> None:
    d = drive("a").cancel(graceful=True).fail("a")
    assert d.ended == "cancelled"
    assert d.states == ["failed"]


def test_a_cancellation_that_meets_the_end_comes_too_late() -> None:
    d = Driver("a", stored=True).begin().acknowledge().answer("a")
    assert d.machine.ended
    assert not d.orders.rest
    d.cancel()
    assert d.run.state == "completed"
    assert d.machine.cancellation is None
    assert d.acknowledge().ended == "completed"


def test_what_is_told_to_end_ends_when_its_worker_has() -> None:
    d = drive("a")
    orders = d.machine.cancelled(Cancellation("enough"), d.now)
    [attempt], orders.stop = orders.stop, []
    d.carry_out(d.machine.stopped([], d.now))  # a worker was told, and has not ended
    assert not d.machine.ended
    assert attempt.stopping
    d.asked.clear()
    d.carry_out(d.machine.lost(attempt, RuntimeError("gone"), d.now))
    assert d.ended == "cancelled"
    assert d.states == ["cancelled"]


def test_an_attempt_whose_worker_ends_by_itself_has_failed() -> None:
    d = drive("a")
    d.carry_out(d.machine.lost(d.take("a"), RuntimeError("gone"), d.now))
    assert d.ended == "failed"


# --------------------------------------------------------------------------- stored runs


def test_agents_are_asked_when_it_is_written_that_they_are() -> None:
    d = Driver("a", "b", stored=True).begin()
    assert d.asks == []
    assert [r.kind for r in d.written[0].records] == [
        "workflow_started",
        "step_started",
    ]
    assert d.acknowledge().asks == ["a"]
    d.answer("a")
    assert d.asks == []
    assert d.acknowledge().asks == ["b"]
    d.answer("b")
    assert d.written[0].update is not None
    assert d.written[0].update.finished is True
    assert not d.orders.rest
    assert d.acknowledge().ended == "completed"


def test_a_run_that_waits_says_so_in_its_row_with_its_time() -> None:
    d = Driver({"id": "d", "delay": 5}, stored=True).begin().acknowledge()
    [group] = d.written
    assert group.update is not None
    assert (group.update.state, group.update.wake_at) == ("waiting", 105)
    assert d.acknowledge().orders.rest


def test_attempts_that_were_not_begun_when_the_run_failed_never_begin() -> None:
    b = {"id": "b", "agent": "b", "depends_on": ["x"]}
    d = Driver("a", {"id": "x", "agent": "x", "depends_on": []}, b, stored=True)
    d.begin().acknowledge().answer("x").fail("a")
    d.acknowledge()
    assert d.asks == []
    assert d.states == ["failed", "completed", "cancelled"]


def test_a_store_that_refuses_a_group_stops_the_run() -> None:
    d = Driver("a", stored=True).begin()
    error = OSError("full")
    assert d.machine.refused(d.written.pop(), error).give_up is error


def test_those_who_follow_are_told_when_it_is_written() -> None:
    d = Driver("a", stored=True)
    d.machine.followed(True)
    assert d.begin().told == []
    assert d.acknowledge().told == ["workflow_started", "step_started"]


def test_those_who_follow_a_run_in_memory_are_told_at_once() -> None:
    d = Driver("a")
    d.machine.followed(True)
    assert d.begin().told == ["workflow_started", "step_started"]


# --------------------------------------------------------------------------- going on


def again(d: Driver, **options: Any) -> Driver:
    """Let another machine go on with the run, as after a crash."""
    d.machine = d.new(**options)
    d.asked.clear()
    d.written.clear()
    return d.begin()


def test_another_machine_makes_the_attempt_under_way_again() -> None:
    d = again(drive("a", "b").answer("a"))
    assert d.asks == ["b"]
    assert d.asked[0].number == 1


def test_another_machine_goes_on_with_the_items_that_have_not_ended() -> None:
    d = again(drive({"id": "a", "agent": "a", "for_each": [5, 6]}).answer("a[0]", "x"))
    assert d.asks == ["a[1]"]
    assert d.answer("a[1]", "y").ended == "completed"
    assert d.run.scope["a"] == ["x", "y"]


def test_another_machine_fails_a_run_in_which_a_step_has_failed() -> None:
    d = drive("a", {"id": "b", "agent": "b", "depends_on": []}).fail("a")
    assert again(d).asks == ["b"]  # what was under way may finish
    assert d.answer("b").ended == "failed"


def test_another_machine_goes_on_undoing() -> None:
    d = drive(*UNDO, "c").answer("a").answer("b").fail("c")
    d.answer("undo unb")
    assert again(d).asks == ["undo una"]
    assert d.answer("undo una").ended == "failed"


def test_another_machine_goes_on_cancelling() -> None:
    d = again(drive(*UNDO).answer("a").cancel())
    assert d.asks == ["undo una"]
    assert d.run.state == "cancelling"
    assert d.answer("undo una").ended == "cancelled"


def test_a_failed_run_that_is_resumed_tries_the_failed_step_again() -> None:
    d = drive("a", "b").answer("a").fail("b")
    d = again(d, opening=((EventKind.WORKFLOW_RESUMED, None),))
    assert d.asks == ["b"]
    assert d.asked[0].number == 2
    assert d.run.finished_at is None
    assert d.answer("b").ended == "completed"
    assert d.run.finished_at == d.now


def test_the_time_limit_of_a_resumed_run_counts_from_then() -> None:
    d = drive("a", timeout_seconds=5).at(105)
    d.now = 200
    d = again(d, opening=((EventKind.WORKFLOW_RESUMED, None),))
    assert d.asks == ["a"]
    assert d.orders.wake_at == 205


def test_a_run_that_can_neither_end_nor_go_on_fails() -> None:
    d = drive("a", "b").answer("a")
    d.run.steps[1] = None
    d.run.left[1] = 1
    assert again(d).ended == "failed"
    assert "no step can go on" in (d.run.last_error or "")


@pytest.mark.parametrize("ending", [Driver.answer, Driver.fail])
def test_a_run_that_has_ended_says_when(ending: Callable[..., Driver]) -> None:
    d = drive("a")
    d.now = 107.5
    ending(d, "a")
    assert d.run.finished_at == 107.5
    assert d.run.steps[0] is not None
    assert d.run.steps[0].ended_at == 107.5


def test_a_run_that_was_cancelled_says_when_and_why() -> None:
    d = drive("a")
    d.now = 107.5
    assert d.cancel().ended == "cancelled"
    assert d.run.finished_at == 107.5
    assert d.run.reason == "enough"


def test_a_loop_does_not_go_round_again_while_the_run_ends() -> None:
    d = drive({"id": "a", "agent": "a", "max_iterations": 3}).cancel(graceful=True)
    assert d.answer("a", {"done": False}).ended == "cancelled"
    assert d.states == ["completed"]


def test_a_signal_is_not_taken_while_the_run_ends() -> None:
    d = drive({"id": "w", "wait_for": "go"}, {"id": "b", "agent": "b", "depends_on": []})
    d.cancel(graceful=True).signal("go")
    assert [signal.name for signal in d.signals] == ["go"]
    assert d.answer("b").states == ["cancelled", "completed"]


def test_an_attempt_that_is_cancelled_before_it_is_written_never_begins() -> None:
    d = Driver("a", stored=True).begin().cancel()
    assert d.acknowledge().asks == []
    assert d.acknowledge().ended == "cancelled"


def test_what_was_about_to_start_when_another_step_failed_to_does_not() -> None:
    bad = {"id": "bad", "agent": "bad", "input": "$root.nothing", "depends_on": ["root"]}
    good = {"id": "good", "agent": "good", "depends_on": ["root"]}
    d = drive("root", good, bad, on_failure="cancel").answer("root", {"x": 1})
    assert d.ended == "failed"
    assert d.states == ["completed", "cancelled", "failed"]


def test_an_undo_that_has_failed_is_not_tried_by_another_machine() -> None:
    d = drive(*UNDO, "c").answer("a")
    d.now = 101
    d.answer("b").fail("c").fail("undo unb")
    assert again(d).asks == ["undo una"]
    assert d.answer("undo una").ended == "failed"


def test_each_undo_has_its_own_retries() -> None:
    retry = {"attempts": 2, "initial_delay_s": 5}
    both = [{"id": s, "agent": s, "compensate": {"agent": f"un{s}", "retry": retry}} for s in "ab"]
    d = drive(*both, "c").answer("a")
    d.now = 101
    d.answer("b").fail("c").fail("undo unb")
    d.at(106).fail("undo unb").fail("undo una")
    assert d.at(111).asks == ["undo una"]


def test_another_machine_makes_the_item_under_way_again_with_its_number() -> None:
    retry = {"attempts": 3, "initial_delay_s": 0}
    d = drive({"id": "a", "agent": "a", "for_each": [5], "retry": retry}).fail("a[0]")
    assert d.asked[0].number == 2
    assert again(d).asked[0].number == 2


@pytest.mark.parametrize("ending", [Driver.answer, Driver.fail])
def test_a_stored_run_that_has_ended_says_so_in_its_row(ending: Callable[..., Driver]) -> None:
    d = Driver("a", stored=True).begin().acknowledge()
    ending(d, "a")
    [group] = d.written
    assert group.update is not None
    assert group.update.finished is True
    assert group.update.state == str(d.run.state)
