"""Breaks the rules of OTP's supervisor one by one, and tells which recorded scenario notices.

    python tests/otp/mutations.py [NUMBER ...]

Each mutation is a small change to a copy of `supervision/`; the recorded scenarios are replayed on the
copy until one differs. The table goes to standard output as Markdown. The exit status is 1 if a
broken rule goes unnoticed.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORPORA = ("suite", "random", "extra")


def folder_of(package: str) -> Path:
    """Return where the installed *package* lies: this checkout, or a wheel's copy."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


SUPERVISION = folder_of("agenticaiframework.supervision")


@dataclass(frozen=True)
class Mutation:
    """A rule, and the change of *old* into *new* in *file* that breaks it."""

    rule: str
    file: str
    old: str
    new: str


MUTATIONS = [
    # -- who comes back
    Mutation(
        "a permanent child comes back after a normal end",
        "machine/supervisor.py",
        "if restart is RestartType.PERMANENT or (",
        "if (restart is RestartType.PERMANENT and not is_normal(reason)) or (",
    ),
    Mutation(
        "a transient child comes back only after an abnormal end",
        "machine/supervisor.py",
        "restart is RestartType.TRANSIENT and not is_normal(reason)\n",
        "restart is RestartType.TRANSIENT\n",
    ),
    Mutation(
        "a transient child comes back after a crash",
        "machine/supervisor.py",
        "restart is RestartType.TRANSIENT and not is_normal(reason)\n",
        "False\n",
    ),
    Mutation(
        "a temporary child never comes back",
        "machine/supervisor.py",
        "if restart is RestartType.PERMANENT or (",
        "if restart is not RestartType.TRANSIENT or (",
    ),
    Mutation(
        "a temporary child that ended is forgotten",
        "machine/keyed_children.py",
        "            self.by_id.pop(child.spec.id, None)\n",
        "            pass\n",
    ),
    Mutation(
        "a transient child that ended keeps its specification",
        "machine/keyed_children.py",
        "        if child.spec.restart is RestartType.TEMPORARY:\n            self.by_id.pop",
        "        if child.spec.restart is not RestartType.PERMANENT:\n            self.by_id.pop",
    ),
    # -- strategies
    Mutation(
        "one_for_all restarts everyone",
        "machine/keyed_children.py",
        "            return list(self.by_id.values())\n",
        "            return [child]\n",
    ),
    Mutation(
        "rest_for_one restarts those started later",
        "machine/keyed_children.py",
        "            group.append(member)\n            if member is child:",
        "            if member is child:\n                group.append(member)",
    ),
    Mutation(
        "rest_for_one leaves those started earlier alone",
        "machine/keyed_children.py",
        "            if member is child:\n                break\n",
        "",
    ),
    Mutation(
        "one_for_one restarts nobody else",
        "machine/supervisor.py",
        "        if self.flags.strategy in _EACH_ALONE:\n            return [child]\n",
        "        if isinstance(self.children, DynamicChildren):\n            return [child]\n",
    ),
    Mutation(
        "a group is stopped in the reverse of its start order",
        "machine/supervisor.py",
        "        await self.stop_in_turn(group[::-1])\n",
        "        await self.stop_in_turn(group)\n",
    ),
    Mutation(
        "a group is started in its order",
        "machine/supervisor.py",
        "        return [member for member in group if children.holds(member)]",
        "        return [member for member in group[::-1] if children.holds(member)]",
    ),
    Mutation(
        "a group restart drops its temporary members",
        "machine/supervisor.py",
        "        return [member for member in group if children.holds(member)]",
        "        return group",
    ),
    Mutation(
        "a group restart revives members that were stopped by hand",
        "machine/supervisor.py",
        "        return [member for member in group if children.holds(member)]",
        "        return [m for m in group if children.holds(m) and m.last_ref\n                and (m is child or m.last_reason != 'shutdown' or m.restarts)]",
    ),
    Mutation(
        "a dynamic child is restarted by itself",
        "machine/supervisor.py",
        "        if self.flags.strategy in _EACH_ALONE:\n            return [child]\n",
        "        if self.flags.strategy in _EACH_ALONE:\n            if isinstance(self.children, DynamicChildren):\n                await self.stop_together(list(self.children.by_ref.values()))\n            return [child]\n",
    ),
    Mutation(
        "a dynamic child is restarted with the arguments it was started with",
        "machine/dynamic_children.py",
        "return Child(self._template, tuple(given))",
        "return Child(self._template, (given[0], {}))",
    ),
    # -- the restart limit
    Mutation(
        "intensity restarts are allowed, and no more",
        "policy/intensity.py",
        "return len(self._current(now)) < self.intensity",
        "return len(self._current(now)) <= self.intensity",
    ),
    Mutation(
        "all of intensity restarts are allowed",
        "policy/intensity.py",
        "return len(self._current(now)) < self.intensity",
        "return len(self._current(now)) + 1 < self.intensity",
    ),
    Mutation(
        "a restart made exactly one period ago counts",
        "policy/intensity.py",
        "while restarts and now - restarts[0][0] > self.period_s:",
        "while restarts and now - restarts[0][0] >= self.period_s:",
    ),
    Mutation(
        "older restarts do not count",
        "policy/intensity.py",
        "while restarts and now - restarts[0][0] > self.period_s:",
        "while False:",
    ),
    Mutation(
        "a restart that fails counts again when it is tried again",
        "machine/supervisor.py",
        "        return self.child_failed(child) if child.is_to_be_tried else None",
        "        return self._restart_now(child) if child.is_to_be_tried else None",
    ),
    Mutation(
        "siblings that died meanwhile are absorbed by a group restart, and not counted",
        "machine/stopping.py",
        "        self._owner.process_ended(stopping.child, ref, reason)",
        "        self._owner.process_ended(stopping.child, ref, reason)\n        if not stopping.was_alive:\n            self._owner.window.admit(self._owner.system.clock())",
    ),
    Mutation(
        "a supervisor past its limit ends with reason shutdown",
        "machine/supervisor.py",
        "        await self.end((SHUTDOWN, why) if for_good else SHUTDOWN)",
        "        await self.end((SHUTDOWN, why) if for_good else 'normal')",
    ),
    Mutation(
        "a supervisor past its limit stops its children",
        "machine/supervisor.py",
        "        await self.end((SHUTDOWN, why) if for_good else SHUTDOWN)",
        "        self.children.by_id = {}\n        await self.end(SHUTDOWN)",
    ),
    # -- starting
    Mutation(
        "children start in the order of their specifications",
        "machine/supervisor.py",
        "        failed = await self._start_group(records, ",
        "        failed = await self._start_group(records[::-1], ",
    ),
    Mutation(
        "a failed first start stops those that were started before it",
        "machine/supervisor.py",
        "        if failed is not None:\n            await children.stop_all()",
        "        if failed is not None:",
    ),
    Mutation(
        "a failed first start ends the supervisor",
        "machine/supervisor.py",
        "            raise ActorExit((SHUTDOWN, FailedToStartChild(child.spec.id, error.reason)))",
        "            return",
    ),
    Mutation(
        "a failed restart is tried again",
        "machine/supervisor.py",
        "            self.actor_ref.tell(TryAgain(child))",
        "            pass",
    ),
    Mutation(
        "a failed restart lets the mailbox have its turn before the next try",
        "machine/supervisor.py",
        "            self.actor_ref.tell(TryAgain(child))",
        "            self.actor_ref._mailbox.appendleft(TryAgain(child))",
    ),
    Mutation(
        "a retry is void if the child has been stopped meanwhile",
        "machine/child.py",
        "        return self.restarting and self.timer is None",
        "        return self.ref is None and self.timer is None",
    ),
    Mutation(
        "a failed group restart is tried again from the one that failed",
        "machine/supervisor.py",
        "        await self.start_again(await self._stop_group(child))",
        "        failed = await self._start_group(await self._stop_group(child), '')\n        if failed is not None:\n            child.last_reason = failed[1].reason\n            self.children.await_start(child)\n            self.actor_ref.tell(TryAgain(child))",
    ),
    Mutation(
        "after a failed start in a group nothing later is started",
        "machine/supervisor.py",
        "                self.report(ReportKind.START_ERROR, child, error.reason, then)\n                return child, error",
        "                self.report(ReportKind.START_ERROR, child, error.reason, then)\n                continue",
    ),
    Mutation(
        "a temporary child that declines to start is forgotten",
        "machine/supervisor.py",
        "                self.children.forget(child)\n        return None",
        "                pass\n        return None",
    ),
    Mutation(
        "another child that declines to start is kept, not running",
        "machine/keyed_children.py",
        "        if child.ref is not None or spec.restart is not RestartType.TEMPORARY:\n",
        "        if child.ref is not None:\n",
    ),
    Mutation(
        "a failed start_child leaves nothing behind",
        "machine/keyed_children.py",
        "        if error is not None:\n            if isinstance(error.reason, AlreadyStarted):",
        "        if error is not None:\n            self.by_id[spec.id] = child\n"
        "            if isinstance(error.reason, AlreadyStarted):",
    ),
    # -- stopping
    Mutation(
        "children stop in the reverse of their start order",
        "machine/keyed_children.py",
        "        children = list(reversed(self.by_id.values()))\n",
        "        children = list(self.by_id.values())\n",
    ),
    Mutation(
        "brutal_kill kills at once",
        "machine/stopping.py",
        "self._signal(ref, KILL if shutdown_ms == BRUTAL_KILL else SHUTDOWN)",
        "self._signal(ref, SHUTDOWN)",
    ),
    Mutation(
        "a child that is late is killed",
        "machine/stopping.py",
        "            if stopping.deadline <= now:\n                self._signal(stopping.ref, KILL)",
        "            if stopping.deadline <= now:\n                self._signal(stopping.ref, SHUTDOWN)",
    ),
    Mutation(
        "a child gets the time that its specification says",
        "machine/stopping.py",
        "        deadline = system.clock() + shutdown_ms / 1000",
        "        deadline = system.clock() + shutdown_ms / 100000",
    ),
    Mutation(
        "an unexpected reason of a stopped child is reported",
        "machine/stopping.py",
        "    return spec.restart is not RestartType.PERMANENT and is_normal(reason)",
        "    return True",
    ),
    Mutation(
        "a stopped permanent child's normal end is unexpected",
        "machine/stopping.py",
        "    return spec.restart is not RestartType.PERMANENT and is_normal(reason)",
        "    return is_normal(reason)",
    ),
    Mutation(
        "the reason of a child that had died unseen is the one in its exit signal",
        "machine/stopping.py",
        "        return unread.pop(ref, NOPROC)",
        "        return NOPROC",
    ),
    Mutation(
        "a dead child that had unlinked itself has the reason noproc",
        "machine/stopping.py",
        "        return unread.pop(ref, NOPROC)",
        "        return unread.pop(ref, ref.exit_reason)",
    ),
    Mutation(
        "dynamic children stop at the same time",
        "machine/dynamic_children.py",
        "        for child in await self._owner.stop_together(list(self.by_ref.values())):",
        "        await self._owner.stop_in_turn(list(self.by_ref.values()))\n        for child in ():",
    ),
    Mutation(
        "each unexpected reason of dynamic children is reported once",
        "machine/dynamic_children.py",
        "            unexpected.setdefault(_alike(child.last_reason), []).append(child)",
        "            unexpected.setdefault(id(child), []).append(child)",
    ),
    Mutation(
        "the parent's exit ends a supervisor with that reason",
        "machine/supervisor.py",
        "return self.end(message.reason) if ref is self.parent else None",
        "return self.end(SHUTDOWN) if ref is self.parent else None",
    ),
    Mutation(
        "the parent's exit waits its turn in the mailbox",
        "machine/supervisor.py",
        "    obey_parent = False\n",
        "    obey_parent = True\n",
    ),
    Mutation(
        "an exit from anybody else is ignored",
        "machine/supervisor.py",
        "        if ref is None:\n            return None",
        "        if ref is None:\n            return self.end(message.reason)",
    ),
    # -- significant children
    Mutation(
        "any_significant: the first significant end ends the supervisor",
        "machine/supervisor.py",
        "if automatic is AutoShutdown.ANY_SIGNIFICANT or not",
        "if not",
    ),
    Mutation(
        "all_significant: only the last significant end ends the supervisor",
        "machine/supervisor.py",
        "if automatic is AutoShutdown.ANY_SIGNIFICANT or not",
        "if True or not",
    ),
    Mutation(
        "only significant children count for auto_shutdown",
        "machine/supervisor.py",
        "if automatic is AutoShutdown.NEVER or not child.spec.significant:",
        "if automatic is AutoShutdown.NEVER:",
    ),
    Mutation(
        "a significant child between two incarnations is still there",
        "machine/keyed_children.py",
        "child.spec.significant and (child.ref is not None or child.restarting)",
        "child.spec.significant and child.ref is not None",
    ),
    # -- requests
    Mutation(
        "start_child of a known id that has a process: already_started",
        "machine/keyed_children.py",
        "            if present.ref is not None:\n                return Error(AlreadyStarted(present.ref))",
        "",
    ),
    Mutation(
        "a process that died unseen still counts as started",
        "machine/keyed_children.py",
        "            if present.ref is not None:",
        "            if present.ref is not None and present.ref.is_alive():",
    ),
    Mutation(
        "terminate_child forgets a temporary child",
        "machine/keyed_children.py",
        "        await self._owner.stop_in_turn((child,))\n        self._owner.child_closed(child)",
        "        await self._owner.stop_in_turn((child,))\n        self.by_id[id] = child\n        self._owner.child_closed(child)",
    ),
    Mutation(
        "terminate_child ends a child's wait for its restart",
        "machine/child.py",
        "        self.restarting = self.stopping = False",
        "        self.stopping = False",
    ),
    Mutation(
        "restart_child and delete_child refuse a child that is being restarted",
        "machine/keyed_children.py",
        "        if child.restarting:\n            return ChildProblem.RESTARTING",
        "",
    ),
    Mutation(
        "delete_child refuses a running child",
        "machine/keyed_children.py",
        "return None if child.ref is None else ChildProblem.RUNNING",
        "return None",
    ),
    Mutation(
        "which_children lists the one added last first",
        "machine/keyed_children.py",
        "return [info(child) for child in reversed(self.by_id.values())]",
        "return [info(child) for child in self.by_id.values()]",
    ),
    Mutation(
        "count_children counts those as active whose process lives",
        "machine/keyed_children.py",
        "sum(child.ref is not None and child.ref.is_alive() for child in children)",
        "sum(child.ref is not None for child in children)",
    ),
    Mutation(
        "count_children of simple_one_for_one does not look whether a process lives",
        "machine/dynamic_children.py",
        "return Counts(specs, len(self.by_ref), supervisors",
        "return Counts(specs, sum(r.is_alive() for r in self.by_ref), supervisors",
    ),
    Mutation(
        "a dynamic child between two incarnations is no active one",
        "machine/dynamic_children.py",
        "return Counts(specs, len(self.by_ref), supervisors",
        "return Counts(specs, size, supervisors",
    ),
    Mutation(
        "terminating a dead process under simple_one_for_one is no error",
        "machine/dynamic_children.py",
        "        if self._template is not None and not ref.is_alive():\n            return Ok(None)",
        "",
    ),
    Mutation(
        "terminating somebody else's process under simple_one_for_one is an error",
        "machine/dynamic_children.py",
        "        if self._template is not None and not ref.is_alive():\n            return Ok(None)",
        "        if self._template is not None:\n            return Ok(None)",
    ),
    # -- specifications
    Mutation(
        "significant children need auto_shutdown",
        "policy/child_spec.py",
        "    if significant is True and auto_shutdown is AutoShutdown.NEVER:\n        return",
        "    if False:\n        return",
    ),
    Mutation(
        "a permanent child cannot be significant",
        "policy/child_spec.py",
        "    if significant is True and restart == RestartType.PERMANENT:\n        return",
        "    if False:\n        return",
    ),
    Mutation(
        "a wrong specification is refused before its id is looked for",
        "machine/keyed_children.py",
        "        spec = check_child_spec(given, owner.flags.auto_shutdown)\n"
        "        if isinstance(spec, SpecError):\n            return Error(spec)\n"
        "        present = self.by_id.get(spec.id)",
        "        present = self.by_id.get(given.get('id') if given else None)\n"
        "        spec = check_child_spec(given, owner.flags.auto_shutdown)\n"
        "        if present is None and isinstance(spec, SpecError):\n            return Error(spec)",
    ),
    Mutation(
        "ids are unique",
        "policy/child_spec.py",
        "        if spec.id in ids:\n",
        "        if False:\n",
    ),
    Mutation(
        "simple_one_for_one has exactly one template",
        "machine/supervisor.py",
        "if simple and not (type(given) in (list, tuple) and len(given) == 1):",
        "if simple and not given:",
    ),
    Mutation(
        "a worker has 5 seconds to stop, a supervisor as long as it needs",
        "policy/child_spec.py",
        'put(self, "shutdown_ms", DEFAULT_SHUTDOWN_MS if is_worker else INFINITY)',
        'put(self, "shutdown_ms", DEFAULT_SHUTDOWN_MS)',
    ),
]

REPLAY = """
import copy, gzip, json, sys
sys.path.insert(0, {here!r})
import adapter, comparison
for corpus in {corpora!r}:
    with gzip.open({here!r} + f"/data/{{corpus}}.jsonl.gz", "rt") as lines:
        for line in lines:
            record = json.loads(line)
            scenario = record["scenario"]
            try:
                ours = adapter.run(copy.deepcopy(scenario))
                found = comparison.difference(scenario, record["trace"], ours)
            except BaseException as error:
                found = repr(error)
            if found is not None:
                print(scenario["id"])
                sys.exit(0)
print("")
"""


def mutated(mutation: Mutation, source: str) -> str:
    """Return *source* with the rule broken. Raises `ValueError` unless the place is unique."""
    if source.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.rule!r}: the text to change occurs {source.count(mutation.old)} times "
            f"in {mutation.file}"
        )
    return source.replace(mutation.old, mutation.new)


def caught_by(mutation: Mutation, folder: Path) -> str:
    """Return the id of the first scenario that differs under *mutation*; empty if none does."""
    package = folder / "agenticaiframework"
    supervision = package / "supervision"
    supervision.mkdir(parents=True)
    # What the package says of itself, and nothing else of it.
    (package / "__init__.py").write_text('__distribution__ = "agenticai-actors"\n')
    (package / "actors").symlink_to(folder_of("agenticaiframework.actors"))
    for file in SUPERVISION.rglob("*.py"):
        name = file.relative_to(SUPERVISION)
        source = file.read_text()
        if name.as_posix() == mutation.file:
            source = mutated(mutation, source)
        (supervision / name).parent.mkdir(exist_ok=True)
        (supervision / name).write_text(source)
    # A mutant may restart for ever; then the time is what catches it.
    try:
        done = subprocess.run(
            [sys.executable, "-c", REPLAY.format(here=str(HERE), corpora=CORPORA)],
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return "(never ends)"
    return done.stdout.strip()


def theme_of(scenario_id: str) -> str:
    """Return what the scenario is about."""
    for corpus in CORPORA:
        with gzip.open(HERE / "data" / f"{corpus}.jsonl.gz", "rt") as lines:
            for line in lines:
                scenario: Any = json.loads(line)["scenario"]
                if scenario["id"] == scenario_id:
                    return str(scenario["tags"][0])
    return ""


def main(chosen: list[int]) -> int:
    """Try the mutations and print the table; return how many went unnoticed."""
    print("| | rule broken | in | first scenario that differs | theme |")
    print("| --- | --- | --- | --- | --- |")
    unnoticed = 0
    for number, mutation in enumerate(MUTATIONS, 1):
        if chosen and number not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            scenario = caught_by(mutation, Path(folder))
        unnoticed += not scenario
        print(
            f"| {number} | {mutation.rule} | `{mutation.file}` | {scenario or '**none**'} "
            f"| {theme_of(scenario)} |",
            flush=True,
        )
    print(f"\n{unnoticed} unnoticed")
    return unnoticed


if __name__ == "__main__":
    sys.exit(1 if main([int(number) for number in sys.argv[1:]]) else 0)
