"""Bugs planted on purpose: one small change each, in the kernel, supervision and what is above.

`mutants` applies them one by one to a copy of the library and shows which property of the suite
catches each, after how many schedules. A property that no planted bug can violate checks nothing.
What the fields of a `Mutation` mean is said in `planting`.
"""

from __future__ import annotations

from .planting import Mutation

KERNEL = "actors/kernel:"
AGENTS = "actors/agents:"
SYSTEM = "actors/system:"
DISPATCH = "actors/dispatch:"
SUPERVISION = "supervision:"
REGISTRIES = "actors:"
PATTERNS = "patterns:"
ENGINE = "patterns/engine:"

LINKS_AND_MONITORS = (
    Mutation(
        "a link is one-way", f"{KERNEL}link",
        "_enter_link(ref, cell)", "None",
    ),
    Mutation(
        "unlink does nothing", f"{KERNEL}unlink",
        "cell._actor is None or not remove_link(cell, ref)", "True",
    ),
    Mutation(
        "the second link is dropped", f"{KERNEL}add_link",
        "cell._links = {links: None, ref: None}", "cell._links = {links: None}",
    ),
    Mutation(
        "linking to the dead is silent", f"{KERNEL}link",
        """
        if not isinstance(ref, Cell):
            watch_plain(ref).link(cell)
        elif ref._actor is None:
            receive_exit(cell, ref, NOPROC, True)
        elif ref._sched is cell._sched:
            _enter_link(ref, cell)
        elif not ref._sched.post_or_call(_link_back, ref, cell):
            receive_exit(cell, ref, NOPROC, True)
        """,
        """
        if ref._actor is not None:
            _enter_link(ref, cell)
        """,
    ),
    Mutation(
        "normal exits take links down", f"{KERNEL}receive_exit",
        "not is_word(reason, NORMAL) or sender is target", "True",
    ),
    Mutation(
        "an exit of its own choice is ignored", f"{KERNEL}receive_exit",
        "not is_word(reason, NORMAL) or sender is target", "not isinstance(reason, str)",
    ),
    Mutation(
        "kill can be trapped", f"{KERNEL}receive_exit",
        "is_word(reason, KILL)", "is_word(reason, KILL) and not target._trap",
    ),
    Mutation(
        "killed actors say kill", f"{KERNEL}receive_exit",
        "doom(target, KILLED, kill=True)", "doom(target, KILL, kill=True)",
    ),
    Mutation(
        "the death of the first link only", f"{KERNEL}announce_end",
        "for linked in links:\n    send_exit(linked, cell, reason, True)",
        "for linked in list(links)[:1]:\n    send_exit(linked, cell, reason, True)",
    ),
    Mutation(
        "a monitor is forgotten", f"{KERNEL}announce_end",
        "for watch in watchers:\n    send_down(watch, reason)",
        "for watch in list(watchers)[:1]:\n    send_down(watch, reason)",
    ),
    Mutation(
        "monitoring the dead is silent", f"{KERNEL}monitor",
        """
        if not isinstance(ref, Cell):
            watch_plain(ref).monitor(watch)
        elif ref._actor is None:
            deliver_down(watch, NOPROC)
        elif ref._sched is cell._sched:
            add_watcher(ref, watch)
        elif not ref._sched.post_or_call(_watched, watch):
            deliver_down(watch, NOPROC)
        """,
        """
        if ref._actor is not None:
            add_watcher(ref, watch)
        """,
    ),
    Mutation(
        "demonitor does not", f"{KERNEL}demonitor",
        "remove_monitor(cell, watch)\n_forget(watch)", "pass",
    ),
    Mutation(
        "downs say noproc instead of why", f"{KERNEL}deliver_down",
        "Down(watch.target, reason, watch)", "Down(watch.target, 'noproc', watch)",
    ),
    Mutation(
        "a crash leaves its links alone", f"{KERNEL}finish",
        "home.announce_end(cell, reason, ext)",
        "isinstance(reason, Exception) or home.announce_end(cell, reason, ext)",
    ),
)  # fmt: skip

MESSAGES = (
    Mutation(
        "the dead do not answer", f"{KERNEL}finish",
        "current.fail(ActorDied(cell, reason))", "None",
    ),
    Mutation(
        "what waited for the dead is dropped", f"{KERNEL}settle_leftovers",
        "lose(cell, left, reason)", "lose(cell, left[1:], reason)",
    ),
    Mutation(
        "deferred answers die with the actor", f"{KERNEL}settle_leftovers",
        "request.fail(ActorDied(cell, reason))", "None",
    ),
    Mutation(
        "stashed messages die with the actor", f"{KERNEL}settle_leftovers",
        "left[:0] = ext.stash", "pass",
    ),
    Mutation(
        "a message cut off vanishes", f"{KERNEL}cut_off",
        "lose(cell, (item,), reason)", "None",
    ),
    Mutation(
        "a crash on an ask keeps the asker waiting", f"{KERNEL}handler_failed",
        """
        request.fail(error)
        lives = expected or not (crashes_on_ask_error(cell) or ends_actor(error))
        """,
        "lives = expected or not (crashes_on_ask_error(cell) or ends_actor(error))",
    ),
    Mutation(
        "a crash on a tell is no dead letter", f"{KERNEL}handler_failed",
        "home.host.dead_letter(message, cell.label, error, quietly=not expected)", "None",
    ),
    Mutation(
        "a full mailbox takes one more", f"{KERNEL}BoundedMailbox.append",
        "len(self) < self.capacity", "len(self) <= self.capacity",
    ),
    Mutation(
        "a full mailbox that fails its senders takes one more", f"{KERNEL}FailingMailbox.append",
        "len(self) >= self.capacity", "len(self) > self.capacity",
    ),
    Mutation(
        "drop_oldest drops the newest", f"{KERNEL}BoundedMailbox.append",
        "super().popleft()", "super().pop()",
    ),
    Mutation(
        "drop_newest drops without a word", f"{KERNEL}BoundedMailbox.append",
        "self._owner.lose(item, 'mailbox_full')", "None",
    ),
    Mutation(
        "backpressure lets nobody in again", f"{KERNEL}BoundedMailbox.admit",
        "waiting.asker_waiting", "not waiting.asker_waiting",
    ),
    Mutation(
        "the stash comes back in reverse", f"{KERNEL}unstash_all",
        "reversed(stashed)", "stashed",
    ),
    Mutation(
        "a request never expires", f"{KERNEL}Request._expire",
        "self._result = RequestTimeout(self._target, timeout_s)", "return",
    ),
    Mutation(
        "an answer wakes nobody", f"{KERNEL}Request.answer",
        "waiter is not None", "waiter is None",
    ),
    Mutation(
        "a failure wakes nobody", f"{KERNEL}Request._settle",
        "self._waiter is not None", "self._waiter is not None and state != FAILED",
    ),
    Mutation(
        "gather ends one answer early", f"{KERNEL}Gathering._reply_ready",
        "self._missing == 0", "self._missing <= 1",
    ),
    Mutation(
        "an interval drifts", f"{KERNEL}Timer._fire",
        "self._due + self.delay_s", "self._due + self.delay_s * 1.5",
    ),
    Mutation(
        "a one-shot timer repeats", f"{KERNEL}Timer._fire",
        "self._repeat", "self._repeat or self.delay_s",
    ),
)  # fmt: skip

RUN = f"{KERNEL}Scheduler.run"

FAST_PATHS = (
    Mutation(
        "a told message does not make its actor ready", f"{KERNEL}Cell.tell",
        "home.ready.append(self)", "None",
    ),
    Mutation(
        "an asked actor is made ready and not marked so", f"{KERNEL}Cell.request",
        "self._state = QUEUED", "pass",
    ),
    Mutation(
        "the ready queue is not woken", f"{KERNEL}Home.wake",
        "self.loop.call_soon(self.run, context=self.context)", "None",
    ),
    Mutation(
        "the ready queue forgets what its slice left", RUN,
        "if ready or callbacks:\n    loop.call_soon(self.run, context=self.context)\nelse:\n    self.awake = False",
        "self.awake = False",
    ),
    Mutation(
        "a batch goes on past the end of its actor", RUN,
        "cell._phase or batch == 0", "batch == 0",
    ),
    Mutation(
        "a batch keeps the behavior that it began with", RUN,
        "cell._behavior is not behavior", "False",
    ),
    Mutation(
        "a driver is used again while its coroutine is parked", RUN,
        "cell._driver = driver\ncell._since = began\ndriver = None",
        "cell._driver = driver\ncell._since = began",
    ),
    Mutation(
        "a driver is kept twice", RUN,
        "drivers.append(resumed)\nif getrefcount(task) != UNSHARED or getweakrefcount(task):\n    task._finish(result)\n    cell._task = None",
        "drivers.append(resumed)\ndrivers.append(resumed)\nif getrefcount(task) != UNSHARED or getweakrefcount(task):\n    task._finish(result)\n    cell._task = None",
    ),
    Mutation(
        "a task that is kept is used for the next message", RUN,
        """
        if getrefcount(task) != UNSHARED or getweakrefcount(task):
            if task._must_cancel:
                raise task._cancelled_error()
            task._finish(result)
            cell._task = None
        coro = cell._coro = None
        """,
        "coro = cell._coro = None",
    ),
    Mutation(
        "a task that is known weakly is used for the next message", RUN,
        """
        if getrefcount(task) != UNSHARED or getweakrefcount(task):
            if task._must_cancel:
                raise task._cancelled_error()
            task._finish(result)
            cell._task = None
        """,
        """
        if getrefcount(task) != UNSHARED:
            if task._must_cancel:
                raise task._cancelled_error()
            task._finish(result)
            cell._task = None
        """,
    ),
    Mutation(
        "the task of a handler that has waited is used for the next message", RUN,
        """
        if getrefcount(task) != UNSHARED or getweakrefcount(task):
            task._finish(result)
            cell._task = None
        cell._coro = cell._driver = None
        """,
        "cell._coro = cell._driver = None",
    ),
    Mutation(
        "a task that was changed is used for the next message", f"{KERNEL}ActorTask.set_name",
        "self._changed = self", "None",
    ),
    Mutation(
        "a bare yield gives the loop no turn", f"{KERNEL}park",
        "cell._state = YIELDED\nhome.loop.call_soon(task._turn_came, context=home.context)",
        "home.enqueue(cell)",
    ),
    Mutation(
        "the turn that a handler gave never ends", f"{KERNEL}ActorTask._turn_came",
        "cell._state == YIELDED", "False",
    ),
    Mutation(
        "a cancellation does not wait for the future that is done", f"{KERNEL}ActorTask.cancel",
        "waiter is None", "True",
    ),
    Mutation(
        "a plain handler is called outside its context", RUN,
        "direct is receive", "True",
    ),
    Mutation(
        "gather takes the answered for missing", f"{KERNEL}Gathering.__await__",
        "request._state == PENDING", "True",
    ),
    Mutation(
        "an actor handles at once what comes after what waits", f"{KERNEL}Scheduler.handle_now",
        """
        cell._state != IDLE or cell._phase or cell._mailbox or get_ident() != self.thread
        or (observer is not None and not observer.may_handle_now())
        """.replace("\n", " ").strip(),
        "cell._state != IDLE or cell._phase or not observer.may_handle_now()",
    ),
    Mutation(
        "an actor that starts or ends handles a message at once", f"{KERNEL}Scheduler.handle_now",
        "cell._phase", "False",
    ),
    Mutation(
        "an actor that is busy handles a message at once", f"{KERNEL}Scheduler.handle_now",
        "cell._state != IDLE", "False",
    ),
    Mutation(
        "what a handler raises at once is the caller's", f"{KERNEL}Scheduler.handle_now",
        "mailbox.appendleft(Raised(message, error))", "raise",
    ),
    Mutation(
        "what an actor that handled at once tells itself waits", f"{KERNEL}Scheduler.handle_now",
        "lifecycle.settle(self, cell)", "cell._state = IDLE",
    ),
    Mutation(
        "an agent's request does not make its actor ready", f"{KERNEL}request_bounded",
        "home.ready.append(cell)", "None",
    ),
    Mutation(
        "an agent's request enters a mailbox that is full", f"{KERNEL}request_bounded",
        "len(mailbox) >= mailbox.capacity", "False",
    ),
    Mutation(
        "what another thread sends comes in reverse", f"{KERNEL}Home._drain",
        "inbox.popleft()", "inbox.pop()",
    ),
    Mutation(
        "a thread's second message wakes nobody", f"{KERNEL}Home._drain",
        "self._signalled = False", "pass",
    ),
    Mutation(
        "a blocking handler's answer is lost", f"{KERNEL}Job._give_back",
        "request.reply(result)", "None",
    ),
    Mutation(
        "a fan's answers go to other branches", f"{PATTERNS}ask_all",
        "zip(names, agents, requests, answers, strict=True)",
        "zip(names, agents, requests, answers[::-1], strict=True)",
    ),
)  # fmt: skip

ENDS = (
    Mutation(
        "on_stop is skipped", f"{KERNEL}begin_stop",
        "run_hook(home, cell, actor.on_stop, *args)\nreturn", "pass",
    ),
    Mutation(
        "on_stop runs twice", f"{KERNEL}begin_stop",
        "run_hook(home, cell, actor.on_stop, *args)\nreturn",
        "actor.on_stop(*args)\nrun_hook(home, cell, actor.on_stop, *args)\nreturn",
    ),
    Mutation(
        "a cancelled handler is not waited for", f"{KERNEL}obey_doom",
        "give_grace(home, cell)", "(abandon(cell), begin_stop(home, cell, reason))",
    ),
    Mutation(
        "a handler that swallows its cancellation is waited for", f"{KERNEL}obey_doom",
        "give_grace(home, cell)", "None",
    ),
    Mutation(
        "the fence is missing", f"{KERNEL}step",
        "home.thread = FENCED", "pass",
    ),
    Mutation(
        "stopping a system waits for no last hook", f"{SYSTEM}unended",
        "[*home.ending, *home.live]", "list(home.live)",
    ),
    Mutation(
        "stopping a system leaves hanging hooks alone", f"{SYSTEM}_kill_rest",
        "abandon_after_grace(cell)", "None",
    ),
    Mutation(
        "the first doom is forgotten", f"{KERNEL}doom",
        "state not in (QUEUED, YIELDED)", "state == PARKED",
    ),
)  # fmt: skip

EXPECTED = (
    Mutation(
        "an expected error ends its actor", f"{KERNEL}expects",
        "cell._actor._expects(error) is True and not ends_actor(error)", "False",
    ),
    Mutation(
        "what is declared is a crash", f"{AGENTS}ExpectedErrors.include",
        "is_a(error, *self.classes) or is_expected(error)", "is_expected(error)",
    ),
    Mutation(
        "a group with a bug in it is expected", f"{AGENTS}ExpectedErrors.include",
        "all(map(self.include, error.exceptions))", "any(map(self.include, error.exceptions))",
    ),
    Mutation(
        "a bug passes for an expected error", f"{AGENTS}ExpectedErrors.include",
        "self.of_models and is_model_error(error)", "True",
    ),
    Mutation(
        "who lets an expected failure pass crashes", f"{AGENTS}AgentRequest._exception",
        "AgentFailed(name, error, expected=expected)", "AgentFailed(name, error)",
    ),
    Mutation(
        "what waits behind an expected error is lost", f"{KERNEL}handler_failed",
        "lives = expected", "lives = expected\nif lives:\n    cell._mailbox.clear()",
    ),
    Mutation(
        "what a worker had not begun is lost with an expected error", f"{KERNEL}job_finished",
        "cell._mailbox.extendleft(reversed(job.items))", "None",
    ),
    Mutation(
        "a told message whose failure is expected vanishes", f"{KERNEL}handler_failed",
        """
        home.host.dead_letter(message, cell.label, error, quietly=not expected)
        lives = expected
        """,
        """
        lives = expected
        if not lives:
            home.host.dead_letter(message, cell.label, error)
        """,
    ),
)  # fmt: skip

KEPT_MESSAGES = (
    Mutation(
        "messages kept for the next incarnation come in reverse", f"{AGENTS}Address.take_back",
        "self._keeping().extendleft(reversed(items))", "self._keeping().extendleft(items)",
    ),
    Mutation(
        "what a crashed agent had waiting is lost", f"{AGENTS}Address.take_back",
        "self._keeping().extendleft(reversed(items))",
        "self._keeping().extendleft(reversed(items[1:]))",
    ),
    Mutation(
        "the next incarnation gets what was kept twice", f"{AGENTS}Address.bind",
        "put(ref, item.admit() if is_a(item, Request) else item)",
        "(put(ref, item), put(ref, item))",
    ),
    Mutation(
        "what a timer sent reaches the next incarnation", f"{KERNEL}settle_leftovers",
        "is_a(item, SelfSent) or is_system_message(item)", "is_system_message(item)",
    ),
    Mutation(
        "what comes between two incarnations is refused", f"{AGENTS}Address._keep",
        "self._keeping().append(item)", "None",
    ),
)  # fmt: skip

POOLS = (
    Mutation(
        "one incarnation more than declared", f"{AGENTS}AgentPool.room",
        "self.concurrency - self._given_up", "self.concurrency + 1 - self._given_up",
    ),
    Mutation(
        "a crash ends the whole pool", f"{AGENTS}AgentPool.place_ends",
        "unlink(self._ref, place.cell)", "None",
    ),
    Mutation(
        "an incarnation that has ended keeps its place", f"{AGENTS}AgentPool.place_ended",
        "del self._places[place.number]", "pass",
    ),
    Mutation(
        "a full pool is never emptied", f"{AGENTS}AgentPool.place_freed",
        "handing_on.release(self._ref)", "None",
    ),
    Mutation(
        "an end lets no waiting message in", f"{AGENTS}AgentPool._serve",
        "handing_on.release(self._ref)", "None",
    ),
    Mutation(
        "a message is handed on twice", f"{AGENTS}AgentPool._hand",
        "put(cell, item)", "(put(cell, item), put(cell, item))",
    ),
    Mutation(
        "a message that finds no place is lost", f"{AGENTS}AgentPool.on_receive",
        "handing_on.put_first(ref, (item,))", "None",
    ),
    Mutation(
        "what an incarnation had not begun is lost", f"{AGENTS}AgentPool.place_ends",
        "handing_on.put_first(self._ref, items)", "None",
    ),
    Mutation(
        "a message that waits for a start is forgotten", f"{AGENTS}AgentPool.on_receive",
        "self._pending.append(item)", "None",
    ),
    Mutation(
        "a start that has succeeded frees nobody", f"{AGENTS}AgentPool._spawn",
        "put(ref, FREED)", "None",
    ),
    Mutation(
        "a place is never given back by the supervisor", f"{AGENTS}AgentPool.place_restored",
        "self._given_up -= 1", "pass",
    ),
    Mutation(
        "idle incarnations stay", f"{AGENTS}AgentPool._end_idle",
        "lifecycle.doom(place.cell, NORMAL)", "None",
    ),
    Mutation(
        "incarnations outlive their pool", f"{AGENTS}AgentPool.on_stop",
        """
        if reason != NORMAL or self.cancels:
            killed = handing_on.was_killed(self._ref)
            for cell in cells:
                lifecycle.doom(cell, reason, kill=killed)
        for cell in cells:
            await lifecycle.wait_ended(cell, None)
        """,
        "pass",
    ),
    Mutation(
        "work that was withdrawn goes on", f"{AGENTS}AgentPool.withdraw",
        "lifecycle.cancel_work(place.cell, request, timeout)", "None",
    ),
    Mutation(
        "an incarnation is free before its work is done", f"{AGENTS}AgentPool._hand",
        """
        put(cell, item)
        put(cell, FREED)
        """,
        """
        put(cell, FREED)
        put(cell, item)
        """,
    ),
    Mutation(
        "a failed incarnation is not replaced", f"{SUPERVISION}Supervisor._restart_now",
        "child.replace()", "pass",
    ),
    Mutation(
        "a failed incarnation takes the child down", f"{SUPERVISION}Supervisor.child_failed",
        "await self.restart(child)", "await self.limit_reached(await self._as_whole(child))",
    ),
)  # fmt: skip

TREES = (
    Mutation(
        "one restart too many", f"{SUPERVISION}RestartWindow.admits",
        "len(self._current(now)) < self.intensity", "len(self._current(now)) <= self.intensity",
    ),
    Mutation(
        "one restart too few", f"{SUPERVISION}RestartWindow.admits",
        "len(self._current(now)) < self.intensity", "len(self._current(now)) + 1 < self.intensity",
    ),
    Mutation(
        "restarts are never forgotten", f"{SUPERVISION}RestartWindow._current",
        "now - restarts[0][0] > self.period_s", "now - restarts[0][0] > self.period_s * 1000",
    ),
    Mutation(
        "permanent children stay down after a normal end", f"{SUPERVISION}Supervisor._child_exited",
        "restart is RestartType.PERMANENT",
        "restart is RestartType.PERMANENT and not is_normal(reason)",
    ),
    Mutation(
        "transient children come back after a normal end", f"{SUPERVISION}Supervisor._child_exited",
        "restart is RestartType.TRANSIENT and not is_normal(reason)",
        "restart is RestartType.TRANSIENT",
    ),
    Mutation(
        "one_for_all restarts only one", f"{SUPERVISION}KeyedChildren.group_of",
        "list(self.by_id.values())", "[child]",
    ),
    Mutation(
        "rest_for_one restarts all", f"{SUPERVISION}KeyedChildren.group_of",
        "if member is child:\n    break", "pass",
    ),
    Mutation(
        "a group is restarted in reverse", f"{SUPERVISION}Supervisor._stop_group",
        "[member for member in group if children.holds(member)]",
        "[member for member in group[::-1] if children.holds(member)]",
    ),
    Mutation(
        "children stop in start order", f"{SUPERVISION}KeyedChildren.stop_all",
        "list(reversed(self.by_id.values()))", "list(self.by_id.values())",
    ),
    Mutation(
        "the last child is never stopped", f"{SUPERVISION}Supervisor.stop_in_turn",
        "self._stopper.stop_in_turn(children)",
        "self._stopper.stop_in_turn(children[:-1] or children)",
    ),
    Mutation(
        "a failed restart is not tried again", f"{SUPERVISION}Supervisor.start_again",
        "self.actor_ref.tell(TryAgain(child))", "None",
    ),
    Mutation(
        "a child that is stuck is never killed", f"{SUPERVISION}Stopper._kill_the_late",
        "self._signal(stopping.ref, KILL)", "None",
    ),
)  # fmt: skip

GIVING_UP = (
    Mutation(
        "giving up leaves the supervisor running", f"{SUPERVISION}Supervisor.limit_reached",
        "await self.give_up(child)", "None",
    ),
    Mutation(
        "a supervisor that fails leaves its children", f"{SUPERVISION}Supervisor.on_failure",
        "await self.children.stop_all()", "None",
    ),
    Mutation(
        "a supervisor that is stopped leaves its children", f"{SUPERVISION}Supervisor.on_stop",
        "await self.children.stop_all()", "None",
    ),
)  # fmt: skip

COOLING_DOWN = (
    Mutation(
        "a root escalates", f"{SUPERVISION}AgentSupervisorActor.limit_reached",
        "exhausted is None and self.is_root", "False",
    ),
    Mutation(
        "a limit below does not escalate", f"{SUPERVISION}AgentSupervisorActor.limit_reached",
        "exhausted is None and self.is_root", "exhausted is None",
    ),
    Mutation(
        "a cool-down is over at once", f"{SUPERVISION}CoolingSupervisor.cool_down",
        "self._now() + period_s", "self._now()",
    ),
    Mutation(
        "what cools down never comes back", f"{SUPERVISION}CoolingSupervisor._on_cool_down_over",
        "return self._start_afresh(child)", "return None",
    ),
    Mutation(
        "what cools down takes no siblings along", f"{SUPERVISION}CoolingSupervisor.cool_down",
        "await self._stop_group(child)", "[child]",
    ),
    Mutation(
        "the siblings of one that cools down are started with it at once",
        f"{SUPERVISION}CoolingSupervisor.cool_down",
        "await self._stop_group(child)",
        "(await self._stop_group(child), await self.start_again([m for m in self.children if m is not child]))[0]",
    ),
    Mutation(
        "a restart before it brings back what cools down",
        f"{SUPERVISION}CoolingSupervisor.goes_with",
        "member.cool_down is None or child.cool_down is not None", "True",
    ),
    Mutation(
        "a cool-down does not take over those that cool down behind it",
        f"{SUPERVISION}CoolingSupervisor.goes_with",
        "member.cool_down is None or child.cool_down is not None", "member.cool_down is None",
    ),
    Mutation(
        "what cools down comes back although one before it is about to restart",
        f"{SUPERVISION}CoolingSupervisor._comes_with_another",
        "any(one.restarting for one in before)", "False",
    ),
    Mutation(
        "the failures of one that cools down stay in the window",
        f"{SUPERVISION}CoolingSupervisor.cool_down",
        "window.forget(group)", "None",
    ),
    Mutation(
        "an ask waits for the end of a cool-down", f"{AGENTS}Address._keep",
        "self._paused is not None and is_ask(item)", "False",
    ),
    Mutation(
        "what is told during a cool-down is lost", f"{AGENTS}Address._keep",
        "self._paused is not None and is_ask(item)", "self._paused is not None",
    ),
    Mutation(
        "what was told before a cool-down is lost", f"{AGENTS}Address._fail_asks",
        "self._keeping().append(item)", "pass",
    ),
)  # fmt: skip

PATTERN_BUGS = (
    Mutation(
        "a step's output goes nowhere", f"{PATTERNS}SequentialOrchestration.coordinate",
        "previous = output", "previous = payload",
    ),
    Mutation(
        "a branch's result is dropped", f"{PATTERNS}ParallelOrchestration._ask_directly",
        "dict(zip(names, answers, strict=True))",
        "dict(list(zip(names, answers, strict=True))[1:])",
    ),
)  # fmt: skip

STORES = (
    Mutation(
        "a run goes on after a refused write", f"{ENGINE}StoreGate.write",
        "if live.refused is not None:\n    raise live.refused", "",
    ),
    Mutation(
        "what follows a failed append is written", f"{ENGINE}follows_failure",
        "job.lease.failed_generation != job.generation", "True",
    ),
    Mutation(
        "the fence does not rise", f"{ENGINE}MemoryBackend._take",
        "run.fence += 1", "run.fence -= 1",
    ),
    Mutation(
        "the journal starts its numbers anew after a restart", f"{ENGINE}MemoryBackend._take",
        "run.journal[-1][0] + 1", "len(run.journal) + 2",
    ),
)  # fmt: skip

OUTAGES = (
    Mutation(
        "a store that does not answer is not asked again", f"{ENGINE}StoreKeeper._probe",
        "self.send_after(pause_s, PROBE)", "pass",
    ),
    Mutation(
        "what was refused while the store was asked is forgotten", f"{ENGINE}StoreGate.answers",
        "live.ref is not None", "False",
    ),
    Mutation(
        "what the store did not take is not written again", f"{ENGINE}RunCoordinator._write_again",
        "for group in machine.unwritten:\n    self._write(group)", "",
    ),
    Mutation(
        "what the store has all the same is written again", f"{ENGINE}RunCoordinator._write_again",
        "written < 0", "True",
    ),
    Mutation(
        "a run is not held for an outage", f"{ENGINE}EngineCore.hold",
        "kept and self.gate.suspend(live, error)", "False",
    ),
    Mutation(
        "a run that was not stored is lost", f"{ENGINE}Recovery._reload",
        "self._begin_again(live)", "pass",
    ),
    Mutation(
        "a cancellation loses how it was meant", f"{ENGINE}StoreKeeper._deliver_cancellations",
        "Cancellation.of(row.cancel_reason, row.cancel_options)", "Cancellation(row.cancel_reason)",
    ),
    Mutation(
        "a run that has failed is cancelled all the same", f"{ENGINE}RunMachine.cancelled",
        "self.ended or self.run.state is WorkflowState.COMPENSATING", "self.ended",
    ),
    Mutation(
        "a run that has ended is cancelled all the same", f"{ENGINE}RunMachine.cancelled",
        "self.ended or self.run.state is WorkflowState.COMPENSATING", "False",
    ),
    Mutation(
        "a signal that was taken comes again", f"{ENGINE}LiveRun.put_signals",
        "signal.number <= self.last_signal", "False",
    ),
    Mutation(
        "a run that has ended takes signals", f"{ENGINE}MemoryBackend.put_signal",
        "run.finished_at is not None", "False",
    ),
)  # fmt: skip

MACHINE = f"{ENGINE}RunMachine."
STEPS = f"{ENGINE}Steps."

RUNS = (
    Mutation(
        "each attempt has a key of its own", f"{ENGINE}idempotency_key",
        "key_part(run.id)", 'f"{key_part(run.id)}.{attempt.number}"',
    ),
    Mutation(
        "the items of a step share a key", f"{ENGINE}idempotency_key",
        "attempt.item is not None", "False",
    ),
    Mutation(
        "a run sees what its step has returned, not what is stored", f"{STEPS}succeeded",
        "output = keep(value, plan.output_name)", "output = value",
    ),
    Mutation(
        "a finished item is done again after a restart", f"{ENGINE}_item_completed",
        "item.done = True", "item.done = False",
    ),
    Mutation(
        "a finished step is done again after a restart", f"{ENGINE}_completed",
        "run.settle(plan, found, COMPLETED, output, at)", "None",
    ),
    Mutation(
        "an attempt that was answered stays under way", f"{MACHINE}answered",
        "steps.under_way.remove(attempt)", "None",
    ),
    Mutation(
        "an attempt that failed stays under way", f"{MACHINE}failed",
        "steps.under_way.remove(attempt)", "None",
    ),
    Mutation(
        "the steps after a step are not released", f"{STEPS}_end",
        "self.queue.append(index)", "None",
    ),
    Mutation(
        "a failed attempt is not made again", f"{STEPS}failed",
        "not self.closed and attempt.via == 'agent'", "False",
    ),
    Mutation(
        "a default is not put in a failed step's place", f"{STEPS}_given_up",
        "default is None and not plan.dispensable", "not plan.dispensable",
    ),
    Mutation(
        "a step's output is lost", f"{STEPS}succeeded",
        "data = {'output': output}",
        "data = {'output': None}",
    ),
    Mutation(
        "a step ends before its last item", f"{ENGINE}Fan.done",
        "self._left or self._under_way or self._asks or self._again",
        "self._left or self._asks or self._again",
    ),
    Mutation(
        "an item that has ended holds back the next", f"{ENGINE}Fan.ended",
        "self._under_way.discard(index)", "None",
    ),
    Mutation(
        "an attempt whose start is written does not start", f"{MACHINE}acknowledged",
        "orders.start.append(attempt)", "None",
    ),
    Mutation(
        "an attempt starts before it is written that it does", f"{MACHINE}_settle",
        "orders.write = writing.group(steps.launched, busy=not at_rest)",
        "orders.start += steps.launched\nsteps.launched = []\n"
        "orders.write = writing.group([], busy=not at_rest)",
    ),
    Mutation(
        "a time that has come is overlooked", f"{MACHINE}ticked",
        "self._steps.tick()", "None",
    ),
    Mutation(
        "a step that was under way is not taken up after a restart", f"{STEPS}enter",
        "self._guarded(plan, self._work, plan, again=True)", "None",
    ),
    Mutation(
        "a run whose steps have all ended does not end", f"{MACHINE}_nothing_under_way",
        "run.finished_steps == len(run.steps)", "run.finished_steps > len(run.steps)",
    ),
    Mutation(
        "a run goes on although the store has refused", f"{MACHINE}refused",
        "self._orders.give_up = error", "pass",
    ),
)  # fmt: skip

CALLERS = (
    Mutation(
        "a message that carries a context is handled in the actor's own", RUN,
        "wanted = message.variables\nmessage.variables = None", "pass",
    ),
    Mutation(
        "a message without a context is handled in that of the one before", RUN,
        "wanted = own_context", "wanted = context",
    ),
    Mutation(
        "a handler that waited goes on in its actor's own context", RUN,
        "run_in_context = cell._context.run", "run_in_context = cell._own_context.run",
    ),
    Mutation(
        "an idle actor keeps the last caller's context", RUN,
        "cell._context = cell._own_context", "pass",
    ),
    Mutation(
        "an actor that idles after an end off the fast path keeps a context", f"{KERNEL}settle",
        "cell._context = cell._own_context", "pass",
    ),
    Mutation(
        "the last hook runs in the context of the message that failed", f"{KERNEL}run_hook",
        "cell._make_own_context()", "(cell._context or cell._make_own_context())",
    ),
    Mutation(
        "a thread handles every message in the actor's own context", f"{KERNEL}Job._take",
        "context = take_variables(message)", "pass",
    ),
    Mutation(
        "what is sent to several shares one context", f"{KERNEL}opened",
        "return handled_in(message.variables, home.host)", "return message.variables",
    ),
    Mutation(
        "what is handled inside another's turn finds the actor's own context",
        f"{KERNEL}Scheduler.handle_now",
        "context = opened(message, self, context)", "pass",
    ),
    Mutation(
        "the first who asks an agent is seen by all", f"{AGENTS}work_from_here",
        "variables = copy_context()",
        "variables = work_from_here.__dict__.setdefault(system, copy_context()).copy()",
    ),
    Mutation(
        "an agent's handler writes into its asker's context", f"{AGENTS}work_from_here",
        "work.variables = variables",
        "work.variables = work_from_here.__dict__.setdefault(name, variables)",
    ),
    Mutation(
        "a second nested ask has the key of the first", f"{AGENTS}Handling._part",
        "number == 1", "True",
    ),
    Mutation(
        "a handler is resumed by what the one before waited for", f"{KERNEL}ActorTask._wakeup",
        "self._fut_waiter is not future", "False",
    ),
    Mutation(
        "a pattern runs in its coordinator's own context", f"{PATTERNS}run_to_end",
        "with_context(CONDUCT)", "CONDUCT",
    ),
    Mutation(
        "a function in a pattern sees nobody", f"{PATTERNS}FunctionTarget._call",
        "with_context(payload)", "payload",
    ),
    Mutation(
        "a step sees nobody", f"{ENGINE}RunCoordinator._start",
        "variables = live.variables", "variables = None",
    ),
    Mutation(
        "a function in a step sees nobody", f"{ENGINE}RunCoordinator._start",
        "worker.tell(with_context(attempt, variables))", "worker.tell(attempt)",
    ),
)  # fmt: skip

NAMES = (
    Mutation(
        "a name means the latest agent of it in the process", f"{AGENTS}Namesakes.made_before",
        "number <= latest and on_line is not None", "on_line is not None",
    ),
    Mutation(
        "all contexts stand on one line", f"{AGENTS}next_point",
        "number != line.last", "False",
    ),
    Mutation(
        "of several agents from elsewhere the latest is taken", f"{AGENTS}Directory.look",
        "living[0] if len(living) == 1 else None", "living[-1]",
    ),
    Mutation(
        "a request does not see what it came from", f"{AGENTS}points_behind",
        "point = point[0].before", "point = None",
    ),
    Mutation(
        "dropping an agent hides those of its name", f"{AGENTS}Directory._take_out",
        "entered.__class__ is Namesakes", "False",
    ),
    Mutation(
        "a pattern forgets what its names were bound to", f"{PATTERNS}BoundNames.bind",
        "self._agents[name] = agent", "self.open = True",
    ),
    Mutation(
        "a nested pattern is looked up where its coordinator was started",
        f"{PATTERNS}OrchestrationPattern._scope",
        "outer = agents_from_here()", "outer = find_agent",
    ),
    Mutation(
        "a workflow is looked up where its engine was started", f"{PATTERNS}Setup.names_of",
        "agents_from_here() if outer is None else outer", "find_agent",
    ),
    Mutation(
        "an agent that nothing keeps ends at once", f"{AGENTS}AgentAddress._end_when_done",
        "put(ref, ActorStop())", "lifecycle.doom(ref, 'normal', soft=True)",
    ),
    Mutation(
        "a supervised agent is started again in another system", f"{AGENTS}AddressBook.owner_changed",
        "self.supervised = (*others, home) if owned else others", "self.supervised = others",
    ),
)  # fmt: skip

TASKS = (
    Mutation(
        "a task does not see its caller's variables", f"{SUPERVISION}TaskSupervisor._task",
        "with_context(CALL, context)", "CALL",
    ),
    Mutation(
        "a task whose caller has ended goes on", f"{SUPERVISION}TaskSupervisor._linked",
        "caller.when_gone(self.system, task.cancel)", "caller.when_gone(self.system, str)",
    ),
    Mutation(
        "a task is not cancelled for the reason normal", f"{SUPERVISION}Task.cancel",
        "cast('ActorSystem', self.ref.system).end_actor(self.ref, reason)", "self.ref.exit(reason)",
    ),
    Mutation(
        "a stream runs one task too many", f"{SUPERVISION}TaskStream._may_take",
        "len(self._running) >= most or untaken >= 2 * most", "len(self._running) > most",
    ),
    Mutation(
        "a stream that is left goes on with its tasks", f"{SUPERVISION}TaskStream._end_tasks",
        "task.cancel(reason)", "pass",
    ),
    Mutation(
        "a stream does not close its source", f"{SUPERVISION}TaskStream._feed",
        "close is not None", "False",
    ),
    Mutation(
        "the outcomes of a stream come as they finish", f"{SUPERVISION}TaskStream._began",
        "self._order.append(entry)",
        "self._order.appendleft(entry)",
    ),
    Mutation(
        "nothing that waits for room is told of it", f"{SUPERVISION}TasksActor.child_closed",
        "self._waiting and self.exit_reason is None", "False",
    ),
    Mutation(
        "an actor that has ended stays in a registry", f"{REGISTRIES}Listings.release",
        "listing.released(ref, reason)", "pass",
    ),
)  # fmt: skip

WAITING = (
    Mutation(
        "only one that asks itself is told",
        f"{KERNEL}Request.__await__",
        "(target.latest or target)._awaits is not None",
        "(target.latest or target) is cell",
    ),
    Mutation(
        "whoever asks one that waits is told that it waits for itself",
        f"{KERNEL}_way_back",
        "handler is asker",
        "handler is not None",
    ),
    Mutation(
        "what the tasks of a pattern ask is not looked at",
        f"{KERNEL}Parts.add",
        "PARTS[task] = self._cell",
        "pass",
    ),
    Mutation(
        "what the tasks of a pattern await holds nobody up",
        f"{KERNEL}Parts.pending",
        "[request for task in tuple(self._tasks) for request in _awaited_by(task)]",
        "[]",
    ),
    Mutation(
        "the watch ends no circle",
        f"{DISPATCH}CircleWatch._found",
        "not stood or key not in self._circles",
        "True",
    ),
    Mutation(
        "the watch does not see into task groups",
        f"{DISPATCH}Reader._of_task",
        "self._of_frames(task.get_coro(), depth - 1)",
        "NOTHING",
    ),
    Mutation(
        "the watch does not see into gather",
        f"{DISPATCH}Reader._of_future",
        "children is not None",
        "children is None",
    ),
    Mutation(
        "the watch looks once",
        f"{DISPATCH}CircleWatch._look",
        "if home.outside: self._home.call_aside(self._stood_s / LOOKS, self._look)\nelse: home.on_outside = self._begin",
        "home.on_outside = None",
    ),
)

PARTS = f"{ENGINE}Parts."

NESTED = (
    Mutation(
        "a completed part is not undone", f"{ENGINE}_of_step",
        "found.part and undoable(plan, found.via)", "False",
    ),
    Mutation(
        "a finished item is not undone", f"{ENGINE}_to_undo",
        "item.done and not item.stood_in", "False",
    ),
    Mutation(
        "a part that failed runs again from its beginning", f"{PARTS}_go_on",
        "run.serving[0] < work.generation and _differs(run.input, work.payload)", "True",
    ),
    Mutation(
        "the end of a part wakes nobody", f"{PARTS}_deliver",
        "parent.resting and parent.ref is None", "False",
    ),
    Mutation(
        "a part goes on when its run is cancelled", f"{PARTS}stop",
        "self._host.cancel(CancelRun(child.id, own))", "None",
    ),
    Mutation(
        "what a list has under way in parts is lost after a failure", f"{STEPS}enter",
        "self._attach_items(plan, found)", "None",
    ),
    Mutation(
        "a run that is about to be taken in is begun by a nudge, too", f"{ENGINE}EngineCore._nudge",
        "live.coming", "False",
    ),
)  # fmt: skip

DEPLOYS = (
    Mutation(
        "what a new definition puts before a finished step holds nothing back",
        f"{ENGINE}Run.recount",
        "self._rewire(frozenset(ended))",
        "pass",
    ),
    Mutation(
        "a blocked run is never looked at again",
        f"{ENGINE}Recovery.recover",
        "await self._look_at_blocked(found)",
        "pass",
    ),
    Mutation(
        "a run that goes on is still listed as blocked",
        f"{ENGINE}Writing.__init__",
        "run.state if run.blocked is None else WorkflowState.BLOCKED",
        "run.state",
    ),
    Mutation(
        "a run that cannot go on is not noted as blocked",
        f"{ENGINE}BlockedRuns.note",
        "self._store.submit(lease, [*reopening, record], partial(self._noted, run_id), update)",
        "pass",
    ),
)

QUEUES = (
    Mutation(
        "a queue has no limit",
        f"{ENGINE}_places",
        "room = min(room, limits.concurrency - table.held())",
        "pass",
    ),
    Mutation(
        "a dead engine's runs hold no places",
        f"{ENGINE}MemoryQueue.held",
        "len(self._held)",
        "sum(self._alive(run.owner) for run in self._held)",
    ),
    Mutation(
        "a key that is full is not passed over",
        f"{ENGINE}_with_room",
        "held[key] >= most",
        "False",
    ),
    Mutation(
        "recovery takes runs of queues",
        f"{ENGINE}MemoryBackend.claim_abandoned",
        "run.queue is None",
        "True",
    ),
)

INNER_STEPS = (
    Mutation(
        "what an inner step returned is not looked for",
        f"{ENGINE}InnerSteps._found",
        "recorded is not None and call.place in recorded.outputs",
        "False",
    ),
    Mutation(
        "an inner step returns before it is stored",
        f"{ENGINE}RunMachine.noted",
        "group.inner = note",
        "note.settle()",
    ),
    Mutation(
        "an inner step is not written",
        f"{ENGINE}RunMachine.noted",
        "group = orders.write = writing.group([], busy=True)",
        "group = writing.group([], busy=True)",
    ),
    Mutation(
        "the second call of a name is taken for the first",
        f"{ENGINE}InnerSteps._call",
        'own = name if number == 1 else f"{name}#{number}"',
        "own = name",
    ),
    Mutation(
        "another attempt has forgotten the inner steps",
        f"{ENGINE}_retrying",
        "found.tries += 1",
        "found.tries += 1; found.inner = None",
    ),
    Mutation(
        "the inner steps of items are those of the step",
        f"{ENGINE}_inner_completed",
        "found if index is None else found.item(index)",
        "found",
    ),
    Mutation(
        "the inner steps of an agent that is asked are the asker's",
        f"{AGENTS}Handling.hand_on",
        """f"{_path_of(mapping)}/{part or self._part(f'={name}')}\"""",
        "_path_of(mapping)",
    ),
)

QUESTIONS = (
    Mutation(
        "a question that is asked again is another",
        f"{ENGINE}Steps.asked",
        "inner is None or place not in inner.questions",
        "True",
    ),
    Mutation(
        "a question that was answered in that moment waits for ever",
        f"{ENGINE}Steps.asked",
        "inner is not None and place in inner.outputs and not attempt.parking",
        "False",
    ),
    Mutation(
        "a run that asks keeps its attempt",
        f"{ENGINE}Steps.park",
        "self.stopping.append(attempt)",
        "pass",
    ),
    Mutation(
        "what was answered while it was put away is put away",
        f"{ENGINE}Steps._parked",
        "still and asking",
        "asking",
    ),
    Mutation(
        "an inner step beside a question is cut off",
        f"{ENGINE}InnerSteps.busy",
        "any(\n    not any(place.startswith(f'{call.place}/') for place in waiting)\n"
        "    for call in list(self._calls)\n)",
        "False",
    ),
    Mutation(
        "the last of several answers counts",
        f"{ENGINE}Steps._take_answers",
        "reversed(list(signals))",
        "list(signals)",
    ),
    Mutation(
        "an answer that is taken stays there",
        f"{ENGINE}Steps._take_answers",
        "used = (*used, signal.number)",
        "pass",
    ),
    Mutation(
        "the questions of items are those of the step",
        f"{ENGINE}_answered",
        "found if index is None else found.item(index)",
        "found",
    ),
    Mutation(
        "an item that was answered waits for ever",
        f"{ENGINE}Fan.again",
        "self._again.append(index)",
        "pass",
    ),
    Mutation(
        "a second answer is not told",
        f"{ENGINE}answer_question",
        "await control.is_pending(asked.run_id, name)",
        "False",
    ),
)

FOLLOWING = f"{ENGINE}StoredEvents."
RUN_WATCH = f"{ENGINE}RunWatch."

STREAMS = (
    Mutation(
        "a stream skips what it was not told", f"{FOLLOWING}next",
        "event.seq <= self._last + 1", "True",
    ),
    Mutation(
        "a stream tells again what it has read", f"{FOLLOWING}next",
        "event.seq > self._last", "True",
    ),
    Mutation(
        "a stream that is told of an end looks no further", f"{FOLLOWING}next",
        "self._said, self._more = event, True", "return self._told(event)",
    ),
    Mutation(
        "a stream that joins a run does not read what it missed", f"{FOLLOWING}follow",
        "self._more = self._flush = True", "self._more = False",
    ),
    Mutation(
        "a stream begins anew where it was cut off", f"{FOLLOWING}__init__",
        "self._last = after", "self._last = 0",
    ),
    Mutation(
        "a stream from elsewhere ends with what has happened", f"{FOLLOWING}_until_it_gets_further",
        "progress.finished", "True",
    ),
    Mutation(
        "a stream from elsewhere does not see that there is more",
        f"{FOLLOWING}_until_it_gets_further",
        "progress.seq > self._last", "progress.seq < self._last",
    ),
    Mutation(
        "a stream from elsewhere waits for ever behind the end",
        f"{FOLLOWING}_until_it_gets_further",
        "known is not None and known.finished and known.seq == self._last", "False",
    ),
    Mutation(
        "an outage ends a stream", f"{FOLLOWING}_read_on",
        "await self._watch.pause()\nreturn", "self._over = True\nself._more = False\nreturn",
    ),
    Mutation(
        "the watch sees no change", f"{RUN_WATCH}_look",
        "progress != waiter.known", "progress == waiter.known",
    ),
    Mutation(
        "the watch of stored runs looks once", f"{RUN_WATCH}_look",
        "self._arm()", "pass",
    ),
)  # fmt: skip

SCHEDULES = (
    Mutation(
        "what an engine has decided and not started is never started", f"{ENGINE}Scheduler._attend",
        "each not in record.starting or each.decided_at + CLAIM_S <= now",
        "each not in record.starting",
    ),
    Mutation(
        "what was missed is forgotten", f"{ENGINE}settle",
        "its.timing.between(record.next, until)", "[record.next]",
    ),
    Mutation(
        "the id of a run follows from when it was decided", f"{ENGINE}settle",
        "run_id_of(its.name, at)", "run_id_of(its.name, now, exact=True)",
    ),
    Mutation(
        "a schedule is written over what another engine has decided", f"{ENGINE}MemorySchedules.put",
        "after != (None if found is None else found.revision)", "False",
    ),
    Mutation(
        "a run that has not ended stands against no other", f"{ENGINE}Scheduler._is_busy",
        "bool((await store.list_runs(where, None, 1)).rows)", "False",
    ),
)  # fmt: skip

MUTATIONS: tuple[Mutation, ...] = (
    *LINKS_AND_MONITORS,
    *WAITING,
    *MESSAGES,
    *FAST_PATHS,
    *CALLERS,
    *ENDS,
    *OUTAGES,
    *EXPECTED,
    *KEPT_MESSAGES,
    *POOLS,
    *TREES,
    *GIVING_UP,
    *COOLING_DOWN,
    *TASKS,
    *PATTERN_BUGS,
    *NAMES,
    *STORES,
    *RUNS,
    *NESTED,
    *DEPLOYS,
    *QUEUES,
    *INNER_STEPS,
    *QUESTIONS,
    *STREAMS,
    *SCHEDULES,
)
"""Every planted bug, in the order of the layers."""
