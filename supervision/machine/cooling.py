"""A supervisor that lets what failed too often cool down, where OTP's would end.

The child stays down until the period of its limit has passed; then it is started afresh, as if it
had never failed. Those that the strategy restarts with it wait too. All of it hangs on the children's
records: what stops or removes a child ends its cool-down.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from itertools import takewhile
from typing import Any, ClassVar, cast

from ..vocabulary.kinds import SupervisionStrategy
from .child import Child, CoolDown
from .keyed_children import KeyedChildren
from .messages import CoolDownOver
from .reports import ReportKind
from .requests import RestartChild
from .results import Error, Ok, RestartChildResult, StartError
from .supervisable import pause_target, reopen_target
from .supervisor import Supervisor


class CoolingSupervisor(Supervisor):
    """OTP's supervisor, whose children can cool down. It is the one writer of their `CoolDown`s."""

    _requests: ClassVar[Mapping[type, str]] = {
        **Supervisor._requests,
        CoolDownOver: "_on_cool_down_over",
    }

    async def cool_down(self, child: Child) -> None:
        """Keep *child*, which failed too often, and its group down for the period of its limit."""
        window = child.window or self.window
        period_s = window.period_s
        self.report(
            ReportKind.COOLING_DOWN,
            child,
            child.last_reason,
            f"it failed too often, stays down, and is started afresh in {period_s:g} s",
            back_in_s=period_s,
        )
        cool_down = CoolDown(child, self._now() + period_s)
        # Marked before its group is gathered: those that cool down already wait for this one now.
        child.timer = cool_down
        group = await self._stop_group(child)
        window.forget(group)
        back_at = cool_down.back_at
        cool_down.timer = self.send_after(max(0.0, back_at - self._now()), CoolDownOver(cool_down))
        self.children.await_start(child)
        child.timer = cool_down
        self._rest(child, back_at)
        for member in group:
            if member is not child and member.down is None:
                member.timer = CoolDown(child, back_at)
                self._rest(member, back_at)

    def _rest(self, child: Child, back_at: float) -> None:
        if child.handle is not None:
            child.handle.cools_down(back_at)
        elif child.actor_class is None:
            pause_target(child.spec.start, self.system, child.last_reason, back_at)

    def goes_with(self, member: Child, child: Child) -> bool:
        """One that cools down waits for its own time, and not for the restart of another.

        Unless that other begins a cool-down itself.
        """
        return member.cool_down is None or child.cool_down is not None

    def _on_cool_down_over(self, message: CoolDownOver) -> Coroutine[Any, Any, None] | None:
        child = message.cool_down.lead
        # It may have been stopped or started by hand while this message was under way, and may even
        # cool down anew.
        if child.cool_down is not message.cool_down:
            return None
        if self._comes_with_another(child):
            self._counts_anew(child)
            return None
        return self._start_afresh(child)

    def _comes_with_another(self, child: Child) -> bool:
        """Tell whether one before *child* is about to be restarted, and those behind it too."""
        if self.flags.strategy is not SupervisionStrategy.REST_FOR_ONE:
            return False
        before = takewhile(lambda one: one is not child, self.children)
        return any(one.restarting for one in before)

    def _counts_anew(self, child: Child) -> None:
        """End the cool-down of *child* and of those that wait with it: starts follow at once."""
        for member in self.children:
            theirs = member.cool_down
            if theirs is not None and theirs.lead is child:
                member.counts_anew()
                self.rest_over(member)
        self.report(
            ReportKind.STARTED_AFRESH,
            child,
            child.last_reason,
            "it has cooled down, and is started",
        )

    def rest_over(self, child: Child) -> None:
        """Note that *child*, if it cooled down, is about to be started: what is asked is kept again."""
        if child.cool_down is None:
            return
        child.stopped()
        if child.handle is not None:
            child.handle.may_come()
        elif child.actor_class is None:
            reopen_target(child.spec.start, self.system)

    async def _start_afresh(self, child: Child) -> None:
        self._counts_anew(child)
        await self._restart_now(child)

    async def _on_restart_child(self, request: RestartChild) -> RestartChildResult:
        """Start a child that is down; one that cools down is started afresh now, with its group."""
        child = cast("KeyedChildren", self.children).by_id.get(request.id)
        if child is None or child.cool_down is None:
            return await super()._on_restart_child(request)
        await self._start_afresh(child.cool_down.lead)
        if child.ref is None and child.down is None:
            return Error(StartError(child.last_reason))
        return Ok(child.ref, child.info)
