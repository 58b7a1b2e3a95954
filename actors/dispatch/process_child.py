"""What runs in a child process: it takes work from a pipe, does it, and answers.

A child knows no actor system. The object that a handler runs on there is a copy: its class and its
attributes are the actor's, its place in a system is not, and using that raises `NotInChild`.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection
from types import CoroutineType
from typing import Any, Final, cast

from ..errors import AgenticError
from ..expected import is_expected
from ..kernel.base import KERNEL_STATE, ActorBase, stand_in
from ..looks import is_a, text_of, traceback_of
from ..refusals import causes_of, http_status_of, retry_after_of

READY: Final = b"ready"
PROTOCOL: Final = pickle.HIGHEST_PROTOCOL


class NotInChild(AgenticError, RuntimeError):
    """A handler in a child process used what only the process of its system has."""

    def __init__(self, actor: str, what: str) -> None:
        super().__init__(
            f"{actor} runs its handlers in a child process, where there is no actor system, so "
            f"{what!r} cannot be used there. Return a value and let the asker act on it, or give the "
            'actor dispatcher = "thread".'
        )
        self.actor = actor
        self.what = what


class NotPicklable(AgenticError, TypeError):
    """Something that would have to cross into a child process, or back, cannot be pickled."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what} cannot be pickled, and what crosses into a child process must be: {why}. Use "
            "functions and classes from the top of a module, and plain data."
        )
        self.what = what
        self.why = why


class RemoteError(AgenticError):
    """An exception in a child process that could not itself be sent back; *kind* is its class.

    *bases* are the full names of that class and those it derives from. What the exception says of
    itself is kept: whether it is expected, the ``status_code`` of an HTTP refusal, ``retry_after_s``.
    """

    status_code: int | None = None
    retry_after_s: float | None = None

    def __init__(self, kind: str, text: str, bases: Iterable[str] = ()) -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        self.text = text
        self.bases = frozenset(bases)

    @classmethod
    def of(cls, error: BaseException) -> RemoteError:
        """Return what stands for *error*."""
        remote = cls(type(error).__name__, text_of(error), map(_full_name, type(error).__mro__))
        remote.expected = is_expected(error)
        remote.status_code = http_status_of(error)
        remote.retry_after_s = retry_after_of(error)
        return remote

    def stands_for(self, classes: tuple[type[BaseException], ...]) -> bool:
        """Tell whether the exception was an instance of one of *classes*."""
        return any(_full_name(one) in self.bases for one in classes)


def _full_name(kind: type[Any]) -> str:
    # A child knows the program's main module under another name.
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"


class _Elsewhere:
    """Stands for the system, and for the ref, of an actor whose handler runs in a child."""

    def __init__(self, label: str, name: str | None, pid: int) -> None:
        self.label = label
        self.name = name
        self.pid = pid
        self._current = None
        self._behavior = None
        self._phase = 0

    @property
    def _sched(self) -> Any:
        raise NotInChild(self.label, "system")

    def __getattr__(self, what: str) -> Any:
        if what.startswith("__"):
            raise AttributeError(what)
        raise NotInChild(self.label, what.lstrip("_"))

    def __repr__(self) -> str:
        return f"<{self.label} in a child process>"


class ActorWork:
    """A message to an actor, with as much of the actor as its handler sees."""

    def __init__(
        self,
        actor_class: type[Any],
        identity: tuple[Any, ...],
        state: bytes,
        method: str,
        message: Any,
    ) -> None:
        self.actor_class = actor_class
        self.identity = identity
        self.state = state
        self.method = method
        self.message = message

    def run(self) -> tuple[bool, Any, bytes | None]:
        """Return whether it went well, the result or the error, and the state if it has changed."""
        actor = object.__new__(self.actor_class)
        put_state(actor, pickle.loads(self.state))
        elsewhere = _Elsewhere(*self.identity)
        stand_in(actor, elsewhere)
        try:
            result = complete(getattr(actor, self.method)(self.message))
        except BaseException as error:
            return False, error, self._changed(actor)
        return True, result, self._changed(actor)

    def _changed(self, actor: Any) -> bytes | None:
        after = pickle_each(state_of(actor), lambda name: f"{self.identity[0]}.{name}")
        return None if after == self.state else after


def state_of(actor: Any) -> dict[str, Any]:
    """Return the attributes that the actor's class and its user have given it."""
    attributes = cast(dict[str, Any], vars(actor))
    state = {name: value for name, value in attributes.items() if name not in KERNEL_STATE}
    for base in type(actor).__mro__:
        if base is ActorBase:
            break
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{base.__name__.lstrip('_')}{slot}" if private else slot
            if name not in ("__dict__", "__weakref__") and hasattr(actor, name):
                state[name] = getattr(actor, name)
    return state


def put_state(actor: Any, state: Mapping[str, Any]) -> None:
    """Make the attributes of *actor* those of *state*, and no others."""
    for name in state_of(actor).keys() - state.keys():
        delattr(actor, name)
    for name, value in state.items():
        setattr(actor, name, value)


def pickle_each(parts: Mapping[str, Any], name_of: Callable[[str], str]) -> bytes:
    """Return *parts* pickled. Raises `NotPicklable`, which names the one that cannot be."""
    try:
        return pickle.dumps(parts, PROTOCOL)
    except Exception as error:
        for name, part in parts.items():
            try:
                pickle.dumps(part, PROTOCOL)
            except Exception as blamed:
                raise NotPicklable(name_of(name), _reason(blamed)) from blamed
        raise NotPicklable(", ".join(map(name_of, parts)), _reason(error)) from error


def pickle_tuple(parts: Mapping[str, Any]) -> bytes:
    """Return the values of *parts* pickled as a tuple. Raises `NotPicklable`, which names the part."""
    try:
        return pickle.dumps(tuple(parts.values()), PROTOCOL)
    except Exception:
        return pickle_each(parts, str)  # which raises


def is_picklable(part: Any) -> bool:
    """Tell whether *part* could go into a child."""
    try:
        pickle.dumps(part, PROTOCOL)
    except Exception:
        return False
    return True


def call_work(function: Callable[..., Any], named_args: Mapping[str, Any]) -> bytes:
    """Return the call of *function*, from the top of a module, pickled for a child."""
    return pickle_tuple({"kind": "call", "function": function, **named_args})


def serve(pipe: Connection) -> None:
    """Do what comes through *pipe*, one after the other, until it is closed."""
    # The terminal's Ctrl-C goes to the whole group; what it means is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send_bytes(READY)
    while True:
        try:
            work = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        answer = answer_to(work)
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def answer_to(work: bytes) -> bytes:
    """Do the pickled *work* and return the pickled answer: well or not, what, and the new state."""
    state: bytes | None = None
    try:
        kind, *rest = pickle.loads(work)
        if kind == "actor":
            well, value, state = ActorWork(*rest).run()
        else:
            function, *args = rest
            well, value = True, function(*args)
    except BaseException as error:
        well, value = False, error
    causes = () if well else tuple(causes_of(value))[1:]
    if not well:
        value = [_portable(value), *map(_sendable, causes)]
    try:
        return pickle.dumps((well, value, state), PROTOCOL)
    except Exception as error:
        refused = NotPicklable(f"The result, {type(value).__name__},", _reason(error))
        return pickle.dumps((False, [refused], state), PROTOCOL)


def complete(result: Any) -> Any:
    """Return *result*; a coroutine is run to its end."""
    return asyncio.run(result) if result.__class__ is CoroutineType else result


def _portable(error: BaseException) -> BaseException:
    """Return *error*, or what stands for it, so that it can be sent; its traceback becomes a note."""
    text = traceback_of(error).rstrip()
    sent = error
    if is_a(error, SystemExit, KeyboardInterrupt, GeneratorExit):
        # These would end the parent; what a handler does in a child ends no more than itself.
        sent = RemoteError.of(error)
    sent = _sendable(sent)
    sent.add_note(f"In the child process:\n{text}")
    return sent


def _sendable(error: BaseException) -> BaseException:
    """Return *error* without what it refers to, or what stands for it; a group exception by exception."""
    try:
        error.__cause__ = error.__context__ = None
        pickle.loads(pickle.dumps(error, PROTOCOL))
    except Exception:
        if type(error) is ExceptionGroup:
            parts = [cast(Exception, _sendable(one)) for one in error.exceptions]
            return ExceptionGroup(error.message, parts)
        return RemoteError.of(error)
    return error


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
