"""What comes with a message to an agent, beside its payload: found by the handler in `agent_context`.

A handler's own asks hand it on (`nested_context`), so that a correlation id or a tenant given at the
door reaches every agent behind it. Two kinds of entries are treated apart. An idempotency key stands
for one piece of work: a nested ask gets one of its own, made of the key of the handling around it,
the name of what is asked, and a number if that is asked again. It is the same for a repeated attempt,
as long as the handler asks in the same order. And the keys that begin with `RUNTIME` belong to the
piece of work that they were given for (where the parts of its answer go, its team's notes): another
agent's parts do not belong into that answer, so they are not handed on.

Behind a context may stand an `InnerJournal`, which records the handler's inner steps. It is an
attribute, so that a context stays what can be stored and compared, and is handed on with a path: the
names on the way from the handler that it was put there for, which tell whose steps are meant. (The key
does not: a caller may give one of its own.)
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar, Token
from itertools import count
from typing import Any, Final

from .inner_steps import (
    InnerJournal,
    call_step,
    call_step_blocking,
    check_question,
    check_step,
    refuse_on_loop,
)
from .questions import QuestionOpen

IDEMPOTENCY_KEY: Final = "idempotency_key"

SESSION: Final = "session"
"""The conversation that a request belongs to, which its nested asks belong to as well."""

_SIGNS: Final = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "%/#:!@"})
"""What stands between the parts of a key, and what stands for it within one."""

RUNTIME: Final = "agenticaiframework."
"""What the keys begin with that this library keeps for itself."""


class AgentContext(Mapping[str, Any]):
    """What comes with a message to an agent: a mapping, with inner steps.

    ::

        receipt = await agent_context().step("charge", charge, order)

    In a step of a workflow what *fn* returns is recorded under the name, before this returns. Where the
    attempt is cut off later, the next one gets what is recorded, and *fn* is not called again.
    Everywhere else, it is called.
    """

    __slots__ = ()

    path = ""
    """The names on the way here from what the journal was opened for, each after a stroke."""

    @property
    def journal(self) -> InnerJournal | None:
        """What records the inner steps; None: nothing does, and they are plain calls."""
        return None

    def step(
        self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for what ``fn(*args, **kwargs)`` returns, or has returned before.

        *fn* may be ``async``; a plain one is called in a thread. In a step of a workflow the result is
        what a store keeps of it (a model becomes a mapping), the first time and later; what cannot be
        stored raises here. An error of *fn* is raised and not recorded: the next attempt calls *fn*
        again. Calls of the same name are told apart by their number, in the order in which this is
        called. Inside *fn*, ``agent_context()["idempotency_key"]`` is this step's own.
        """
        check_step(name, fn)
        journal = self.journal
        if journal is None:
            return call_step(fn, args, kwargs)
        return journal.step(self, name, fn, args, kwargs)

    def step_sync(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return what ``await step(...)`` does, and block this thread: for plain handlers.

        *fn* is called in this thread. Raises `WouldBlock` where an event loop runs.
        """
        check_step(name, fn)
        refuse_on_loop()
        journal = self.journal
        if journal is None:
            return call_step_blocking(fn, args, kwargs)
        return journal.step_sync(self, name, fn, args, kwargs)

    def question(
        self, name: str, data: Any = None, *, group: str | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for the answer to a question that a person, or another program, is asked.

        ::

            answer = await agent_context().question("approve", {"order": 7, "sum": 120})

        In a step of a workflow the run waits for it: the question stands in its status with *data*, and
        once nothing else of the attempt is under way the attempt ends, for days if need be. When the
        answer comes (``engine.answer``) the handler is called again, its inner steps return what is
        recorded, and so does this. Questions of one *group* wait for one another. Questions of the same
        name are told apart by their number, as inner steps are. Elsewhere this raises `QuestionOpen`.
        """
        check_question(name)
        journal = self.journal
        return _open(name, data) if journal is None else journal.question(self, name, data, group)

    def question_sync(self, name: str, data: Any = None, *, group: str | None = None) -> Any:
        """Return what ``await question(...)`` does, for plain handlers: without an answer it raises.

        Let that pass: the handler is called again when there is one.
        """
        check_question(name)
        refuse_on_loop("question")
        journal = self.journal
        if journal is None:
            raise QuestionOpen(name, data)
        return journal.question_sync(self, name, data, group)


class GivenContext(dict[str, Any], AgentContext):
    """A context as a caller gave it, or as it was handed on; made by `given_context`."""

    # No constructor: one is made for each nested ask of a step, and setting the slots costs half of it.
    __slots__ = ("_journal", "made", "path", "places")

    _journal: InnerJournal | None
    path: str
    made: bool
    """Whether it was made for the one piece of work that it is given to."""
    places: Any
    """What the journal keeps of this handling's steps; unset until there is one."""

    @property
    def journal(self) -> InnerJournal | None:
        return self._journal

    @classmethod
    def of(
        cls,
        fields: Mapping[str, Any],
        journal: InnerJournal | None = None,
        path: str = "",
        made: bool = False,
    ) -> GivenContext:
        """Return *fields* as a context, with *journal* behind it, and *path* as the way from there."""
        context = cls(fields)
        context._journal = journal
        context.path = path
        context.made = made
        return context

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


given_context: Final = GivenContext.of

NOTHING: Final[AgentContext] = given_context({})


def handed_context(
    fields: dict[str, Any], around: Mapping[str, Any] | None, part: str
) -> Mapping[str, Any]:
    """Return *fields* as the context of a *part* of what has the context *around*: with its journal."""
    journal: InnerJournal | None = getattr(around, "journal", None)
    if journal is None:
        return fields
    return given_context(fields, journal, f"{_path_of(around)}/{part}", True)


def stand_in_context(context: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return *context* for what stands in for another, which may have made inner steps itself."""
    journal: InnerJournal | None = getattr(context, "journal", None)
    if context is None or journal is None:
        return context
    return given_context(context, journal, f"{_path_of(context)}/!", True)


async def _open(name: str, data: Any) -> Any:
    raise QuestionOpen(name, data)


def _path_of(context: object) -> str:
    path: str = getattr(context, "path", "")
    return path


class Handling:
    """What came with the message that one handler handles, and how often it has asked each agent.

    Written by the nested asks of that handler, from any thread.
    """

    # No slot for what most never need, and no constructor: one is made for each message with a context.
    _asked: dict[str, count[int]] | None = None
    mapping: Mapping[str, Any]

    def hand_on(self, name: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return what a nested ask of *name* with ``context=given`` has: *given* over what is here."""
        mapping = self.mapping
        handed = {key: value for key, value in mapping.items() if not is_runtime(key)}
        if given is not None:
            handed.update(given)
        part = ""
        if IDEMPOTENCY_KEY in mapping and (given is None or IDEMPOTENCY_KEY not in given):
            part = self._part(name)
            handed[IDEMPOTENCY_KEY] = f"{mapping[IDEMPOTENCY_KEY]}/{part}"
        if given is not None and given is not mapping and getattr(given, "made", False):
            # What an execution gives its work knows better where that belongs.
            return given_context(handed, getattr(given, "journal", None), _path_of(given))
        journal = getattr(mapping, "journal", None)
        if journal is None:
            return handed
        return given_context(
            handed, journal, f"{_path_of(mapping)}/{part or self._part(f'={name}')}"
        )

    def _part(self, name: str) -> str:
        """Return *name*, numbered if it has been asked already."""
        asked = self._asked
        if asked is None:
            asked = self._asked = {}
        number = next(asked.setdefault(name, count(1)))
        name = key_part(name)
        return name if number == 1 else f"{name}#{number}"


CONTEXT: Final[ContextVar[Handling | None]] = ContextVar("agenticaiframework_agent_context")
"""The variable itself, for the path of every message to an agent."""


def agent_context() -> AgentContext:
    """Return what came with the message that the running handler handles (idempotency key, ...)."""
    handling = CONTEXT.get(None)
    if handling is None:
        return NOTHING
    context: Any = handling.mapping
    if context.__class__ is not GivenContext and not hasattr(context, "step_sync"):
        context = handling.mapping = given_context(context)
    return context  # type: ignore[no-any-return]


def enter_agent_context(context: Mapping[str, Any] | None) -> None:
    """Let `agent_context` return *context* for the rest of the handler that calls this."""
    if context is None:
        CONTEXT.set(None)
    else:
        handling = Handling()
        handling.mapping = context
        CONTEXT.set(handling)


def extend_agent_context(fields: Mapping[str, Any]) -> None:
    """Add *fields* to what `agent_context` returns for the rest of the handler that calls this.

    What the handler has asked so far is still counted, and its inner steps stay its own.
    """
    handling = CONTEXT.get(None)
    if handling is None:
        enter_agent_context(dict(fields))
        return
    around = handling.mapping
    extended = GivenContext.of(
        {**around, **fields},
        getattr(around, "journal", None),
        _path_of(around),
        getattr(around, "made", False),
    )
    places = getattr(around, "places", None)
    if places is not None:
        extended.places = places
    handling.mapping = extended


class in_agent_context:
    """Let `agent_context` return *context* inside of a ``with`` block."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context

    def __enter__(self) -> None:
        handling = Handling()
        handling.mapping = self._context
        self._token: Token[Handling | None] = CONTEXT.set(handling)

    def __exit__(self, *_exc: object) -> None:
        try:
            CONTEXT.reset(self._token)
        except ValueError:
            pass  # a coroutine that nothing awaits any more is closed in some other context


def nested_context(name: str, context: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """Return what an ask of *name* with *context* hands on here: inside a handler, *context* over what
    that handler found in `agent_context`; elsewhere *context* itself.
    """
    handling = CONTEXT.get(None)
    return context if handling is None else handling.hand_on(name, context)


def key_part(name: str) -> str:
    """Return *name* as a part of an idempotency key: no other parts, put together, read the same.

    >>> key_part("charge"), key_part("a:b"), key_part("7")
    ('charge', 'a%3Ab', '%37')
    """
    if name.isidentifier():
        return name
    if name[:1].isdigit():  # what begins with one is an item
        return f"%{ord(name[0]):02X}{name[1:].translate(_SIGNS)}"
    return name.translate(_SIGNS)


def is_runtime(key: object) -> bool:
    """Tell whether *key* of a context is the library's own, and means something in this process only."""
    return isinstance(key, str) and key.startswith(RUNTIME)
