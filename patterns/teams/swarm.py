"""A task in a swarm: one member has the conversation at a time, and hands it over."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from agenticaiframework.actors import (
    MODEL_TURN,
    SESSION,
    Agent,
    HandedOver,
    ModelTurn,
    Spoken,
    Talk,
    agent_context,
)

from ..execution.execution import Execution
from ..vocabulary.errors import PatternFailed
from ..vocabulary.outcome import describe_error
from ..vocabulary.values import Handoff
from .conversation import TeamConversation, utterances
from .errors import WrongHandoff
from .guarding import guarded
from .handoff import USER, AgentHandoff, Handed
from .job import TeamJob
from .result import TeamResult
from .roster import Member, Roster
from .state import STATE, SharedState
from .swarm_tools import SwarmTools, tool_name

QUESTION: Final = "user"
"""The name of the question with which a swarm in a stored run waits for its user."""


@dataclass(slots=True)
class HandingOver:
    """A handoff that is about to happen, for its rule's ``on_handoff``.

    What that changes, *data* and the *state* of the team, the next member and its tools find changed.
    """

    from_agent: str
    from_role: str
    to_role: str
    trigger: str
    data: Any
    state: Any
    session: str | None


class SwarmJob(TeamJob):
    """The member that has the conversation is asked; a handoff gives it to another, an answer ends it.

    *leaders* begin, where the conversation has no holder yet. Members with models see the whole
    conversation and get the handoffs of their role as tools; one with a handler gets the data that it
    was handed, or the user's message.
    """

    def __init__(
        self,
        roster: Roster,
        leaders: Sequence[Member],
        tools: SwarmTools,
    ) -> None:
        super().__init__(roster)
        self._leaders = leaders
        self._tools = tools
        self._session: str | None = None

    async def coordinate(self, run: Execution) -> TeamResult:
        self._session = (run.scope.context or {}).get(SESSION)
        results: list[TeamResult] = []

        async def converse(talk: Talk) -> Talk:
            state = self._state(talk.state)
            conversation = TeamConversation(talk.items, talk.holder, talk.speaker, state)
            results.append(await self._checked(run, conversation))
            return conversation.talk()

        await self.in_session(run, self._session, converse)
        return results[-1]

    def _state(self, data: Any) -> SharedState | None:
        """Return what the members share in a session, which was *data* after the last turn."""
        make = self.roster.config.state
        if make is None:
            return None
        state = SharedState(make())
        if data is not None:
            state.restore(data)
        return state

    async def _checked(self, run: Execution, conversation: TeamConversation) -> TeamResult:
        """Return the result of a conversation under the team's guardrails."""
        said: list[Any] = []

        async def work() -> TeamResult:
            result = await self._converse(run, conversation)
            said.append(result.final)
            return result

        result = await guarded(self.guards, run, work)
        if result.final is not said[0]:
            # A later turn must not read what a guardrail has taken out.
            conversation.say_instead(result.final)
        result.conversation = utterances(conversation.items)
        return result

    # -- the conversation ----------------------------------------------------------------------

    async def _converse(self, run: Execution, conversation: TeamConversation) -> TeamResult:
        members = self._holders(conversation)
        task = payload = run.input
        handed_over: HandedOver | None = None
        waiting = False
        while True:
            name, member, answer = await self._ask(run, conversation, members, payload, handed_over)
            handed = self.fired(member.role, answer)
            if handed is None:
                self.add(name, answer)
                break
            data = await self._hand(run, conversation, member, handed)
            to_role = handed.rule.to_role
            if to_role == USER and not self.roster.has_members(USER):
                self.add(name, data)
                if agent_context().journal is None:
                    waiting = True
                    break
                # In a stored run the user's next message is the answer to a question of that run.
                asked = {"message": data, "team": self.name, "session": self._session}
                task = payload = await agent_context().question(QUESTION, asked)
                members, handed_over = self._holders(conversation), None
                continue
            self.values[name] = data
            members = self.roster.of_role(to_role)
            payload = task if data is None else data
            handed_over = HandedOver(member.role, to_role, handed.rule.trigger, data)
        return await self._ended(run, conversation, waiting)

    def _holders(self, conversation: TeamConversation) -> Sequence[Member]:
        """Return the members that may take the next message: who spoke last, if it is still there."""
        holder = conversation.holder
        members = [m for m in self.roster.members if m.role == holder]
        same = [m for m in members if m.name == conversation.speaker]
        return [*same, *(m for m in members if m not in same)][:1] or list(self._leaders)

    async def _ask(
        self,
        run: Execution,
        conversation: TeamConversation,
        members: Sequence[Member],
        payload: Any,
        handed_over: HandedOver | None,
    ) -> tuple[str, Member, Any]:
        """Have one of *members* take its turn; return the turn's name, the member, and its answer."""
        role = members[0].role
        speaking = conversation.turn(role)
        context: dict[str, Any] = {}
        if all(isinstance(run.resolve(member.target), Agent) for member in members):
            # In a pattern or a team it would reach the agents in it, which take no part in this.
            goes_on, state = handed_over is not None, conversation.state
            context[MODEL_TURN] = ModelTurn(self._tools.shape(role), speaking, goes_on, state)
        if conversation.state is not None:
            context[STATE] = conversation.state
        if handed_over is not None:
            context |= {"handed_off_by": handed_over.by, "trigger": handed_over.trigger}
        name, member, outcome = await self.turn(run, members, payload, context=context)
        answer = self.needed(run, name, outcome, f"the conversation is with {role!r}")
        if not speaking.end(member.name):
            # A handler's words: the members with models read them, too.
            if handed_over is None:
                conversation.say(USER, USER, Spoken(payload, by_user=True))
            if not isinstance(answer, Handoff):
                conversation.say(member.name, role, Spoken(answer))
        return name, member, answer

    async def _ended(
        self, run: Execution, conversation: TeamConversation, waiting: bool
    ) -> TeamResult:
        result = await self.result(run)
        result.speaker = conversation.speaker
        result.waiting = waiting
        result.state = None if conversation.state is None else conversation.state.value
        return result

    # -- handoffs ------------------------------------------------------------------------------

    def fired(self, role: str, answer: Any) -> Handed | None:
        """Return the handoff that *answer* of a member of *role* is; a mapping is an answer here."""
        if not isinstance(answer, Handoff):
            return None
        rule = self._tools.triggers.get((role, answer.trigger))
        if rule is None:
            known = [trigger for from_role, trigger in self._tools.triggers if from_role == role]
            raise WrongHandoff(self.name, role, [answer.trigger], known)
        return Handed(rule, self._payload(rule, answer.data))

    def _payload(self, rule: AgentHandoff, data: Any) -> Any:
        if rule.payload is None:
            return data
        try:
            return TypeAdapter(rule.payload).validate_python(data)
        except ValidationError as error:
            raise WrongHandoff(
                self.name, rule.from_role, [rule.trigger], problem=str(error)
            ) from None

    async def _hand(
        self, run: Execution, conversation: TeamConversation, member: Member, handed: Handed
    ) -> Any:
        """Note that *handed* happens, and return what the next member gets."""
        rule = handed.rule
        data = self.hand_over(run, member, handed)
        if rule.on_handoff is not None:
            data = await self._hook(run, conversation, member, rule, data)
        over = HandedOver(member.role, rule.to_role, tool_name(rule.trigger), data)
        conversation.say(member.name, member.role, over)
        return data

    async def _hook(
        self,
        run: Execution,
        conversation: TeamConversation,
        member: Member,
        rule: AgentHandoff,
        data: Any,
    ) -> Any:
        """Call ``on_handoff``, once for all attempts of a stored run, and return the data after it."""
        state = conversation.state
        handing = HandingOver(
            member.name, member.role, rule.to_role, rule.trigger, data,
            None if state is None else state.value, self._session,
        )  # fmt: skip

        async def call() -> Any:
            changed = cast("Any", rule.on_handoff)(handing)
            if inspect.isawaitable(changed):
                changed = await changed
            return handing.data if changed is None else changed

        async def recorded() -> dict[str, Any]:
            after = await call()
            if state is not None:
                state.value = handing.state
            kept = {} if after is data else {"data": after}
            return kept if state is None else {**kept, "state": state.data()}

        try:
            if agent_context().journal is None:
                data = await call()
                if state is not None:
                    state.value = handing.state
                return data
            kept = await agent_context().step(f"on_handoff {tool_name(rule.trigger)}", recorded)
            if state is not None:
                state.restore(kept["state"])
            return kept.get("data", data)
        except Exception as error:
            raise PatternFailed(
                self.name,
                f"failed: on_handoff of {rule.trigger!r} from {rule.from_role!r} to "
                f"{rule.to_role!r} raised {describe_error(error)}",
                run.outcomes,
                cause=error,
            ) from error
