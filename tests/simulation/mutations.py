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
SUPERVISION = "supervision:"
PATTERNS = "patterns:"
ENGINE = "patterns/engine:"

LINKS_AND_MONITORS = (
    Mutation(
        "a link is one-way", f"{KERNEL}link",
        "add_link(ref, cell)", "None",
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
            add_link(ref, cell)
        elif not ref._sched.post_or_call(_link_back, ref, cell):
            receive_exit(cell, ref, NOPROC, True)
        """,
        """
        if ref._actor is not None:
            add_link(ref, cell)
        """,
    ),
    Mutation(
        "normal exits take links down", f"{KERNEL}receive_exit",
        "reason != NORMAL or sender is target", "True",
    ),
    Mutation(
        "an exit of its own choice is ignored", f"{KERNEL}receive_exit",
        "reason != NORMAL or sender is target", "reason != NORMAL and not isinstance(reason, str)",
    ),
    Mutation(
        "kill can be trapped", f"{KERNEL}receive_exit",
        "reason == KILL", "reason == KILL and not target._trap",
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
        if not crashes_on_ask_error(cell) and not getattr(error, "ends_actor", False):
            logger.info(
                f"Exception returned from {cell._actor} to caller:",
                exc_info=(type(error), error, error.__traceback__),
            )
            return
        """,
        "if not crashes_on_ask_error(cell):\n    return",
    ),
    Mutation(
        "a crash on a tell is no dead letter", f"{KERNEL}handler_failed",
        "home.host.dead_letter(message, cell.label, error)", "None",
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
        "self._handle.when() + self.delay_s", "self._handle.when() + self.delay_s * 1.5",
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
        "self.loop.call_soon(self.run)", "None",
    ),
    Mutation(
        "the ready queue forgets what its slice left", RUN,
        "if ready or callbacks:\n    loop.call_soon(self.run)\nelse:\n    self.awake = False",
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
        "drivers.append(resumed)", "(drivers.append(resumed), drivers.append(resumed))",
    ),
    Mutation(
        "a task that is kept is used for the next message", RUN,
        """
        coro = cell._coro = None
        if getrefcount(task) != UNSHARED or task._num_cancels:
            task._finish()
            cell._task = None
        """,
        "coro = cell._coro = None",
    ),
    Mutation(
        "the task of a handler that has waited is used for the next message", RUN,
        """
        cell._coro = cell._driver = None
        if getrefcount(task) != UNSHARED or task._num_cancels:
            task._finish()
            cell._task = None
        """,
        "cell._coro = cell._driver = None",
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
        "state != QUEUED", "state == PARKED",
    ),
)  # fmt: skip

KEPT_MESSAGES = (
    Mutation(
        "messages kept for the next incarnation come in reverse", f"{AGENTS}Address.take_back",
        "self._kept[:0] = items", "self._kept[:0] = items[::-1]",
    ),
    Mutation(
        "what a crashed agent had waiting is lost", f"{AGENTS}Address.take_back",
        "self._kept[:0] = items", "self._kept[:0] = items[1:]",
    ),
    Mutation(
        "the next incarnation gets what was kept twice", f"{AGENTS}Address.bind",
        "put(ref, item)", "(put(ref, item), put(ref, item))",
    ),
    Mutation(
        "what comes between two incarnations is refused", f"{AGENTS}Address._keep",
        "self._kept.append(item)", "None",
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
        "one restart too many", f"{SUPERVISION}RestartWindow.admit",
        "len(times) >= self.intensity", "len(times) > self.intensity",
    ),
    Mutation(
        "one restart too few", f"{SUPERVISION}RestartWindow.admit",
        "len(times) >= self.intensity", "len(times) + 1 >= self.intensity",
    ),
    Mutation(
        "restarts are never forgotten", f"{SUPERVISION}RestartWindow._current",
        "now - times[0] > self.period_s", "now - times[0] > self.period_s * 1000",
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
        "await self.end(SHUTDOWN)", "None",
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

MACHINE = f"{ENGINE}RunMachine."
STEPS = f"{ENGINE}Steps."

RUNS = (
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
        "self._end(_COMPLETED, plan, attempt.number, {'output': output})",
        "self._end(_COMPLETED, plan, attempt.number, {'output': None})",
    ),
    Mutation(
        "a step ends before its last item", f"{ENGINE}Fan.done",
        "not self._waiting and not self._under_way", "not self._waiting",
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
        "if orders.write is not None:\n    steps.launched = []",
        "orders.start += steps.launched\nsteps.launched = []",
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

MUTATIONS: tuple[Mutation, ...] = (
    *LINKS_AND_MONITORS,
    *MESSAGES,
    *FAST_PATHS,
    *ENDS,
    *KEPT_MESSAGES,
    *POOLS,
    *TREES,
    *GIVING_UP,
    *PATTERN_BUGS,
    *STORES,
    *RUNS,
)
"""Every planted bug, in the order of the layers."""
