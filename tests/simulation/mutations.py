"""Bugs planted on purpose: one changed line each, in the kernel, supervision and what is above.

`mutants` applies them one by one to a copy of the library and shows which property of the suite
catches each, after how many schedules. A property that no planted bug can violate checks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One planted bug: in *file*, *old* (which stands there exactly once) becomes *new*."""

    name: str
    file: str
    old: str
    new: str


LIFECYCLE = "actors/kernel/lifecycle.py"
LINKS = "actors/kernel/links.py"
REQUEST = "actors/kernel/request.py"
MAILBOX = "actors/kernel/mailbox.py"
ADDRESS = "actors/agents/address.py"
SCHEDULER = "actors/kernel/scheduler.py"
TIMERS = "actors/kernel/timers.py"
ACTOR = "actors/actor.py"
SHUTDOWN = "actors/system/shutdown.py"
ZOMBIE = "actors/kernel/zombie.py"
REF = "actors/ref.py"
INTENSITY = "supervision/intensity.py"
SUPERVISOR = "supervision/supervisor.py"
KEYED = "supervision/keyed_children.py"
STOPPING = "supervision/stopping.py"
SEQUENTIAL = "patterns/kinds/sequential.py"
PARALLEL = "patterns/kinds/parallel.py"
CORE = "patterns/engine/host/core.py"
CHANGES = "patterns/engine/state/transitions.py"
JOBS = "patterns/engine/store/grouped/jobs.py"
MEMORY = "patterns/engine/store/memory.py"

MUTATIONS: tuple[Mutation, ...] = (
    # -- links, monitors, exits ------------------------------------------------------------------
    Mutation(
        "a link is one-way", LINKS,
        "    elif target._sched is actor._sched:\n        _add(target, actor._ref)\n",
        "    elif target._sched is actor._sched:\n        pass\n",
    ),
    Mutation(
        "unlink does nothing", LINKS,
        "    if actor is None or not _remove(actor, ref):\n        return\n",
        "    if actor is None or actor:\n        return\n",
    ),
    Mutation(
        "the second link is dropped", LINKS,
        "        actor._links = {links: None, ref: None}\n",
        "        actor._links = {links: None}\n",
    ),
    Mutation(
        "linking to the dead is silent", LINKS,
        "    elif target is None:\n        receive_exit(actor._ref, ref, NOPROC, True)\n",
        "    elif target is None:\n        _remove(actor, ref)\n",
    ),
    Mutation(
        "normal exits take links down", LINKS,
        "    elif reason != NORMAL or sender is target:\n",
        "    elif True:\n",
    ),
    Mutation(
        "an exit of its own choice is ignored", LINKS,
        "    elif reason != NORMAL or sender is target:\n",
        "    elif reason != NORMAL and not isinstance(reason, str):\n",
    ),
    Mutation(
        "kill can be trapped", LINKS,
        "        lifecycle.doom(actor, KILLED, kill=True)\n        return\n",
        "        if not actor._trap:\n            lifecycle.doom(actor, KILLED, kill=True)\n"
        "            return\n",
    ),
    Mutation(
        "killed actors say kill", LINKS,
        "        lifecycle.doom(actor, KILLED, kill=True)\n",
        "        lifecycle.doom(actor, KILL, kill=True)\n",
    ),
    Mutation(
        "the death of the first link only", LINKS,
        "    for linked in links:\n        send_exit(linked, ref, reason, True)\n",
        "    for linked in list(links)[:1]:\n        send_exit(linked, ref, reason, True)\n",
    ),
    Mutation(
        "a monitor is forgotten", LINKS,
        "            send_down(watch_, reason)\n    if ext",
        "            if watch_ is next(iter(watchers)):\n"
        "                send_down(watch_, reason)\n    if ext",
    ),
    Mutation(
        "monitoring the dead is silent", LINKS,
        "    if target is None:\n        deliver_down(watch_, NOPROC)\n",
        "    if target is None:\n        pass\n",
    ),
    Mutation(
        "demonitor does not", LINKS,
        "        ext.monitors.pop(watch_, None)\n    _forget(watch_)\n",
        "        pass\n    return\n",
    ),
    Mutation(
        "downs say noproc instead of why", LINKS,
        "        watcher._put(Down(watch_.target, reason, watch_))\n",
        "        watcher._put(Down(watch_.target, NOPROC, watch_))\n",
    ),
    Mutation(
        "a crash leaves its links alone", LIFECYCLE,
        "    links.announce_end(actor, ref, reason, ext)\n",
        "    if not isinstance(reason, Exception):\n"
        "        links.announce_end(actor, ref, reason, ext)\n",
    ),
    # -- messages ----------------------------------------------------------------------------------
    Mutation(
        "the dead do not answer", LIFECYCLE,
        "        ref._current = None\n        current.fail(ActorDied(ref, reason))\n",
        "        ref._current = None\n",
    ),
    Mutation(
        "what waited for the dead is dropped", LIFECYCLE,
        "    lose(actor, left, reason)\n",
        "    lose(actor, left[1:], reason)\n",
    ),
    Mutation(
        "deferred answers die with the actor", LIFECYCLE,
        "            request.fail(ActorDied(ref, reason))\n    left: list",
        "            pass\n    left: list",
    ),
    Mutation(
        "stashed messages die with the actor", LIFECYCLE,
        "        left[:0] = ext.stash\n",
        "        pass\n",
    ),
    Mutation(
        "a message cut off vanishes", LIFECYCLE,
        "        lose(actor, (item,), reason)\n",
        "        pass\n",
    ),
    Mutation(
        "a crash on an ask keeps the asker waiting", LIFECYCLE,
        "    if request is not None:\n        request.fail(error)\n        if not crashes_on",
        "    if request is not None:\n        if not crashes_on",
    ),
    Mutation(
        "a crash on a tell is no dead letter", LIFECYCLE,
        "        scheduler.system.dead_letter(message, ref.label, error)\n    crash",
        "        pass\n    crash",
    ),
    Mutation(
        "a full mailbox takes one more", MAILBOX,
        "        if len(self) < self.capacity:\n            super().append(item)\n            return\n",
        "        if len(self) <= self.capacity:\n            super().append(item)\n"
        "            return\n",
    ),
    Mutation(
        "drop_oldest drops the newest", MAILBOX,
        "            self._actor._lost(super().popleft(), \"mailbox_full\")\n",
        "            self._actor._lost(super().pop(), \"mailbox_full\")\n",
    ),
    Mutation(
        "drop_newest drops without a word", MAILBOX,
        "            self._actor._lost(item, \"mailbox_full\")\n",
        "            pass\n",
    ),
    Mutation(
        "backpressure lets nobody in again", MAILBOX,
        "            waiting = self.waiting.popleft()\n            if waiting.asker_waiting:\n",
        "            waiting = self.waiting.popleft()\n            if not waiting.asker_waiting:\n",
    ),
    Mutation(
        "the stash comes back in reverse", ACTOR,
        "extendleft(reversed(stashed))",
        "extendleft(stashed)",
    ),
    Mutation(
        "a request never expires", REQUEST,
        "            self._result = RequestTimeout(self._target, timeout_s)\n",
        "            return\n",
    ),
    Mutation(
        "an answer wakes nobody", REQUEST,
        "            self._state = ANSWERED\n            waiter = self._waiter\n"
        "            if waiter is not None:\n",
        "            self._state = ANSWERED\n            waiter = self._waiter\n"
        "            if waiter is None:\n",
    ),
    Mutation(
        "a failure wakes nobody", REQUEST,
        "        self._state = state\n        if self._waiter is not None:\n",
        "        self._state = state\n        if self._waiter is not None and state != FAILED:\n",
    ),
    Mutation(
        "gather ends one answer early", REQUEST,
        "        if self._missing == 0 or",
        "        if self._missing <= 1 or",
    ),
    Mutation(
        "an interval drifts", TIMERS,
        "self._handle.when() + self.delay_s",
        "self._handle.when() + self.delay_s * 1.5",
    ),
    Mutation(
        "a one-shot timer repeats", TIMERS,
        "        if self._repeat:\n",
        "        if self._repeat or self.delay_s:\n",
    ),
    # -- ends --------------------------------------------------------------------------------------
    Mutation(
        "on_stop is skipped", LIFECYCLE,
        "        run_hook(scheduler, actor, actor._stop_hook)\n        return\n",
        "        pass\n",
    ),
    Mutation(
        "on_stop runs twice", LIFECYCLE,
        "        run_hook(scheduler, actor, actor._stop_hook)\n        return\n",
        "        actor._stop_hook()\n        run_hook(scheduler, actor, actor._stop_hook)\n"
        "        return\n",
    ),
    Mutation(
        "a cancelled handler is not waited for", LIFECYCLE,
        "    scheduler.system._grace(actor)\n    if ref._coro",
        "    abandon(actor)\n    begin_stop(scheduler, actor, reason)\n    if ref._coro",
    ),
    Mutation(
        "who swallows its cancellation is waited for", LIFECYCLE,
        "    scheduler.system._grace(actor)\n    if ref._coro",
        "    if ref._coro",
    ),
    Mutation(
        "the fence is missing", LIFECYCLE,
        "        scheduler.thread = -1\n",
        "        pass\n",
    ),
    Mutation(
        "stopping a system waits for no last hook", SHUTDOWN,
        "    return [*system._ending, *system.actors()]\n",
        "    return system.actors()\n",
    ),
    Mutation(
        "stopping a system leaves hanging hooks alone", SHUTDOWN,
        "            lifecycle.abandon_after_grace(ref._actor)  # its last hook",
        "            pass  # its last hook",
    ),
    Mutation(
        "the first doom is forgotten", LIFECYCLE,
        "    elif state != QUEUED:\n        actor._sched.enqueue(ref)\n",
        "    elif state == PARKED:\n        actor._sched.enqueue(ref)\n",
    ),
    # -- what is kept between incarnations ---------------------------------------------------------
    Mutation(
        "messages kept for the next incarnation come in reverse", ADDRESS,
        "        self._kept[:0] = items\n",
        "        self._kept[:0] = items[::-1]\n",
    ),
    Mutation(
        "what a crashed agent had waiting is lost", ADDRESS,
        "        self._kept[:0] = items\n",
        "        self._kept[:0] = items[1:]\n",
    ),
    Mutation(
        "the next incarnation gets what was kept twice", ADDRESS,
        "            else:\n                actor._put(item)\n",
        "            else:\n                actor._put(item)\n                actor._put(item)\n",
    ),
    Mutation(
        "what comes between two incarnations is refused", ADDRESS,
        "        self._kept.append(item)\n        self.system._keeping",
        "        self.system._keeping",
    ),
    # -- supervision ---------------------------------------------------------------------------------
    Mutation(
        "one restart too many", INTENSITY,
        "        if len(times) >= self.intensity:\n",
        "        if len(times) > self.intensity:\n",
    ),
    Mutation(
        "one restart too few", INTENSITY,
        "        if len(times) >= self.intensity:\n",
        "        if len(times) + 1 >= self.intensity:\n",
    ),
    Mutation(
        "restarts are never forgotten", INTENSITY,
        "        while times and now - times[0] > self.period_s:\n",
        "        while times and now - times[0] > self.period_s * 1000:\n",
    ),
    Mutation(
        "permanent children stay down after a normal end", SUPERVISOR,
        "        if restart is RestartType.PERMANENT or (\n",
        "        if (restart is RestartType.PERMANENT and not is_normal(reason)) or (\n",
    ),
    Mutation(
        "transient children come back after a normal end", SUPERVISOR,
        "            restart is RestartType.TRANSIENT and not is_normal(reason)\n",
        "            restart is RestartType.TRANSIENT\n",
    ),
    Mutation(
        "one_for_all restarts only one", KEYED,
        "        if self._supervisor.flags.strategy is SupervisionStrategy.ONE_FOR_ALL:\n"
        "            return list(everyone)\n",
        "        if self._supervisor.flags.strategy is SupervisionStrategy.ONE_FOR_ALL:\n"
        "            return [child]\n",
    ),
    Mutation(
        "rest_for_one restarts all", KEYED,
        "            if member is child:\n                break\n",
        "            pass\n",
    ),
    Mutation(
        "a group is restarted in reverse", KEYED,
        "        staying = [member for member in reversed(group) if",
        "        staying = [member for member in group if",
    ),
    Mutation(
        "children stop in start order", KEYED,
        "        children = list(reversed(self.by_id.values()))\n",
        "        children = list(self.by_id.values())\n",
    ),
    Mutation(
        "the last child is never stopped", KEYED,
        "        await self._supervisor.stopper.stop_in_turn(group, self.forget)\n",
        "        await self._supervisor.stopper.stop_in_turn(group[:-1] or group, self.forget)\n",
    ),
    Mutation(
        "a failed restart is not tried again", KEYED,
        "        self._supervisor.try_again(TryAgain(child.spec.id))\n",
        "        pass\n",
    ),
    Mutation(
        "who is stuck is never killed", STOPPING,
        "                self._signal(stopping.ref, KILL)\n",
        "                pass\n",
    ),
    Mutation(
        "giving up leaves the supervisor running", SUPERVISOR,
        "        self.children.forget(child)\n        await self.end(SHUTDOWN)\n",
        "        self.children.forget(child)\n",
    ),
    Mutation(
        "a supervisor that fails leaves its children", SUPERVISOR,
        "        # A supervisor that fails itself must not leave its subtree behind either.\n"
        "        await self.children.stop_all()\n",
        "",
    ),
    Mutation(
        "a supervisor that is stopped leaves its children", SUPERVISOR,
        "        if self.exit_reason != KILLED:\n            await self.children.stop_all()\n",
        "",
    ),
    # -- patterns ------------------------------------------------------------------------------------
    Mutation(
        "a step's output goes nowhere", SEQUENTIAL,
        "                previous = output\n",
        "                previous = payload\n",
    ),
    Mutation(
        "a branch's result is dropped", PARALLEL,
        "return dict(zip(names, answers, strict=True))",
        "return dict(list(zip(names, answers, strict=True))[1:])",
    ),
    # -- the engine and its store --------------------------------------------------------------------
    Mutation(
        "a run goes on after a refused write", CORE,
        "        if run.refused is not None:\n            raise run.refused\n",
        "",
    ),
    Mutation(
        "what follows a failed append is written", JOBS,
        "    if job.lease.failed_generation != job.generation:\n        return False\n",
        "    if job.lease.failed_generation != job.generation or job.generation >= 0:\n"
        "        return False\n",
    ),
    Mutation(
        "the fence does not rise", MEMORY,
        "        run.fence += 1\n",
        "        run.fence -= 1\n",
    ),
    Mutation(
        "a finished item is done again after a restart", CHANGES,
        "        item.done = True\n",
        "        item.done = False\n",
    ),
    Mutation(
        "a finished step is done again after a restart", CHANGES,
        "    run.settle(plan, COMPLETED, output, at)\n",
        "    if at < 0:\n        run.settle(plan, COMPLETED, output, at)\n",
    ),
    Mutation(
        "the journal starts its numbers anew after a restart", MEMORY,
        "        following = run.journal[-1][0] + 1 if run.journal else 1\n",
        "        following = len(run.journal) + 2 if run.journal else 1\n",
    ),
)  # fmt: skip
"""Every planted bug, in the order of the layers."""
