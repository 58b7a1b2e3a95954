"""One turn in a session: read what was said, have the model asked, write what came of it, or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse

from agenticaiframework.actors import IDEMPOTENCY_KEY, Log, agent_context
from agenticaiframework.patterns.engine.store import (
    NewTurn,
    Revision,
    SessionChanged,
    SessionStore,
    Turn,
)

from .bounds import KeptTurn, fit, over
from .encoding import decoded, encoded, without_instructions
from .home import SessionHome
from .summaries import summary_of

if TYPE_CHECKING:
    from .history import History

__all__ = ["Ran", "SessionTurn", "one_turn"]

STEP: Final = "session turn"
"""The inner step that writes a turn, in a run that is stored."""

MAX_TRIES: Final = 3
"""How often a turn is taken on whose session other processes change meanwhile."""

R = TypeVar("R", bound="Ran", covariant=True)


class Ran(Protocol):
    """A run of pydantic-ai that has ended."""

    def new_messages(self) -> list[ModelMessage]:
        """Return what it has added to the history that it was given."""
        ...


async def one_turn(
    home: SessionHome,
    history: History,
    agent: str,
    session: str,
    ask: Callable[[Sequence[ModelMessage]], Awaitable[R]],
    *,
    repeatable: bool = True,
) -> R:
    """Return what *ask* returns for the messages so far; they then have what it added.

    Turns of one session come one after the other, in the order of asking. Of a turn that fails or is
    cancelled nothing is written. Where another process has written a turn meanwhile, *ask* is called
    again with that, unless a tool was called in it, or it is not *repeatable*: then SessionChanged is
    raised. Runs on any loop.
    """
    store = await home.on_loop(lambda: home.store(history))
    async with home.turn((id(store), agent, session)):
        tries = 1
        while True:
            turn = SessionTurn(home, store, history, agent, session)
            ran = await ask(await turn.messages())
            added = ran.new_messages()
            try:
                await turn.write(added)
            except SessionChanged:
                if not repeatable or tries == MAX_TRIES or _used_tools(added):
                    raise
                tries += 1
            else:
                return ran


class SessionTurn:
    """One turn under way: what it was begun on, and how it is written. Used once."""

    def __init__(
        self, home: SessionHome, store: SessionStore, history: History, agent: str, session: str
    ) -> None:
        self._home = home
        self._store = store
        self._history = history
        self._agent = agent
        self._session = session
        self._turns: list[KeptTurn] = []
        self._after: Revision | None = None
        self._key = _key_here()

    async def messages(self) -> list[ModelMessage]:
        """Read the session; return what of it is sent."""
        found = await self._home.on_loop(
            lambda: self._store.load_session(self._agent, self._session, self._key)
        )
        if found is None:
            return []
        self._after = found.revision
        turns = [
            KeptTurn(each.number, decoded(each.body))
            for each in found.turns
            # One that an attempt before this has written is the one that is made here again.
            if found.keyed is None or each.number < found.keyed
        ]
        self._turns = turns
        if self._history.bounded and over(turns, self._history):
            turns = fit(turns, self._history)
        return [message for turn in turns for message in turn.messages]

    async def write(self, added: Sequence[ModelMessage]) -> None:
        """Write what the turn has *added*, once, however often the step around it is attempted."""
        messages = without_instructions(added)
        turn = await self._new_turn(messages)

        async def append() -> list[int]:
            return list(await self._home.on_loop(lambda: self._append(turn, messages)))

        await agent_context().step(STEP, append)

    async def _append(self, turn: NewTurn, messages: list[ModelMessage]) -> Revision:
        agent, session = self._agent, self._session
        if self._history.lives_s is not None:
            await self._home.forget_expired(self._store)
        try:
            return await self._store.append_turn(agent, session, turn, self._after)
        except SessionChanged:
            if self._after is None or await self._store.load_session(agent, session) is not None:
                raise
            # Cleared meanwhile, perhaps by a tool of this very turn, which is then the first of another.
            self._after, self._turns = None, []
            turn = await self._new_turn(messages)
            return await self._store.append_turn(agent, session, turn, None)

    async def _new_turn(self, added: list[ModelMessage]) -> NewTurn:
        number = 1 if self._after is None else self._after.last + 1
        turns = [*self._turns, KeptTurn(number, added)]
        lives_s = self._history.lives_s
        if not self._history.bounded or not over(turns, self._history):
            return NewTurn(encoded(added), len(added), self._key, lives_s)
        kept = await self._within_bounds(turns)
        *earlier, last = kept
        if last.number != number:
            # Not even its question and its answer fit: what is kept is that there was a turn.
            earlier, last = kept, KeptTurn(number, [])
        return NewTurn(
            encoded(last.messages),
            len(last.messages),
            self._key,
            lives_s,
            drop_below=kept[0].number,
            rewrites=tuple(
                Turn(each.number, encoded(each.messages), len(each.messages))
                for each in earlier
                if each.changed
            ),
        )

    async def _within_bounds(self, turns: list[KeptTurn]) -> list[KeptTurn]:
        """Return those of *turns* that are kept, the summary of the others before them."""
        history = self._history
        newest = turns[-1].number
        if history.summarize is not None and len(turns) > 1:
            recent = fit(turns, history, 0.5) or [KeptTurn(newest, [], True)]
            old = [turn for turn in turns if turn.number < recent[0].number]
            messages = [message for turn in old for message in turn.messages]
            try:
                summary = await summary_of(messages, history.summarize)
            except Exception as error:
                # The answer is there, and has been paid for: the next turn tries again.
                Log(agent=self._agent).warning(
                    "agent {}: the history of a session could not be summarised, and is longer than its "
                    "bounds: {}: {}",
                    *(self._agent, type(error).__name__, error),
                )
                return turns
            return [KeptTurn(old[-1].number, summary, True), *recent]
        return fit(turns, history) or [KeptTurn(newest, [], True)]


def _key_here() -> str | None:
    """Return what this turn is known by in the run around it; None outside of one."""
    context = agent_context()
    if context.journal is None or IDEMPOTENCY_KEY not in context:
        return None
    return f"{context[IDEMPOTENCY_KEY]}|{context.path}/{STEP}"


def _used_tools(messages: Sequence[ModelMessage]) -> bool:
    """Tell whether anything but the model was called: that is not done twice without being asked."""
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    responses = [message for message in messages if isinstance(message, ModelResponse)]
    return len(requests) > 1 and any(response.tool_calls for response in responses[:-1])
