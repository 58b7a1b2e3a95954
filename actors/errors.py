"""The errors of the kernel: who failed, why, and the form that works."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Iterable
from typing import Any, Final

import pykka

from .looks import attribute_of, shown, text_of


def _label(target: Any) -> str:
    return text_of(attribute_of(target, "label", target))


class AgenticError(Exception):
    """Base class of every error that this library raises on its own account.

    They can be pickled, as far as what they carry can be.
    """

    expected: bool = False
    """Whether it is the failure of one request alone, after which its actor is well."""

    def __reduce__(self) -> Any:
        # Python's own would call the class with the message, and these take what it is made of.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(
    kind: type[AgenticError], args: tuple[Any, ...], state: dict[str, Any]
) -> AgenticError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class WrongUse(AgenticError, TypeError, ValueError):
    """A call that cannot work as it was written; the message shows the one that does."""


def read_twice(stream: str) -> WrongUse:
    """Return the error of a second task that reads *stream*, where the two would wait for one wake-up."""
    return WrongUse(
        f"Another task waits for the next part of {stream}, and each part is read once. Read it in one "
        "task, and hand the parts on from there; or give each task a stream of its own."
    )


class StartFailed(AgenticError):
    """An actor's `on_start` failed, so the actor never lived.

    *reason* is the exit reason: mostly the exception, also chained as the cause.
    """

    def __init__(self, actor: str, reason: Any) -> None:
        super().__init__(f"{actor} did not start: {shown(reason)}")
        self.actor = actor
        self.reason = reason


class Ignore(AgenticError):
    """Raise it in `on_start` to decline to start without that being a failure.

    Source: the return value ``ignore`` of an OTP process' init.
    """


class ActorExit(Exception):
    """What `Actor.exit` raises to end the actor with a reason. Do not catch it."""

    def __init__(self, reason: Any = "normal") -> None:
        super().__init__(reason)
        self.reason = reason


class ActorDied(AgenticError, pykka.ActorDeadError):
    """The actor that was asked is dead, or died before it answered."""

    def __init__(self, ref: Any, reason: Any) -> None:
        if type(reason) is str and reason == "noproc":
            said = f"{ref} not found"
            ended = attribute_of(ref, "exit_reason")
            node = attribute_of(ended, "node") if isinstance(ended, str) else None
            if node is not None:  # it ended with "noconnection"
                said += f": node {node!r} is lost, on which it ran"
        else:
            said = f"{_label(ref)} ended ({shown(reason)}) unanswered"
        super().__init__(said)
        self.ref = ref
        self.reason = reason


class HandlerCancelled(AgenticError):
    """A handler ended by a cancellation that was not asked for from outside."""

    def __init__(self, actor: str) -> None:
        super().__init__(
            f"A handler of {actor} let a CancelledError escape, although it was not cancelled. "
            "It probably awaited something that was cancelled elsewhere; catch that there."
        )
        self.actor = actor


class HandlerExited(AgenticError):
    """A handler of an agent, a task or a pattern raised `SystemExit`, as `sys.exit` does.

    It crashes with this, and the program goes on; the `SystemExit` is the cause, and *code* is its code.
    """

    def __init__(self, actor: str, code: object = None) -> None:
        # Any object may be given to sys.exit, also one that cannot be shown.
        shown = "" if code is None else type(code).__name__
        if type(code) in (int, str, bool):
            shown = repr(code)
        super().__init__(
            f"A handler of {actor} raised SystemExit({shown}), as sys.exit() does. That ends the "
            "handler, and not the program: parsers of command lines exit after --help and after errors. "
            "To end the program, let its main code know."
        )
        self.actor = actor
        self.code = code

    @classmethod
    def of(cls, actor: str, error: SystemExit) -> HandlerExited:
        """Return the crash of *actor* that *error* is."""
        crash = cls(actor, error.code)
        crash.__cause__ = error
        return crash


class RequestTimeout(AgenticError, TimeoutError, pykka.Timeout):
    """No answer came within the time that the caller gave."""

    def __init__(self, target: Any, timeout_s: float | None) -> None:
        super().__init__(f"{_label(target)} gave no answer within {timeout_s:g} s")
        self.target = target
        self.timeout_s = timeout_s


class WouldBlock(AgenticError, RuntimeError):
    """A blocking call on the event loop's own thread would wait for itself for ever."""

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(
            f"{call} would block the event loop that has to answer it. "
            f"Use `{instead}` in async code, or call it from another thread."
        )


class CallingSelf(AgenticError, RuntimeError):
    """A handler waits for an answer that could only come after its own: it would wait for ever.

    It asks its own actor, or one that waits, over any number of others, for what it works on: *chain*
    has their names, each of which waits for the next, and the last for the first. OTP's `gen_server`
    ends a call of itself with ``calling_self``, at once and whatever its timeout.
    """

    def __init__(
        self, target: Any, chain: Iterable[str] = (), advice: str = "", why: str = ""
    ) -> None:
        names = tuple(chain) or (_label(target),)
        if len(names) == 1:
            why = (
                why
                or "It handles one message at a time and would wait for its own answer for ever."
            )
            said = f"{names[0]} asks itself and waits. {why}"
            usual = "Call what does the work, or use `tell` and go on."
        else:
            why = why or (
                "Each handles one message at a time and would wait for its own answer for ever."
            )
            said = (
                f"{names[0]} waits for {', which waits for '.join((*names[1:], names[0]))}. {why}"
            )
            usual = (
                "Let another agent, or a function, do one part, or use `tell` and go on; an agent "
                "that can do several things at once is Agent(concurrency=...)."
            )
        super().__init__(f"{said} {advice or usual}")
        self.target = target
        self.chain = names


class PoolExhausted(AgenticError, RuntimeError):
    """Every thread of a pool waits for an answer that, in the end, only another thread could give."""

    def __init__(self, pool: str, threads: int, waiting: Iterable[str], asked: str) -> None:
        names = tuple(waiting)
        shown = ", ".join(names[:8]) + (f", and {len(names) - 8} more" if len(names) > 8 else "")
        super().__init__(
            f"{asked} gets no thread: all {threads} threads of {pool} wait for answers that only "
            f"further ones could give. Waiting: {shown}. Make the handlers that ask others async, so "
            "that they wait without a thread, or raise ActorSystem(max_threads=...)."
        )
        self.pool = pool
        self.threads = threads
        self.waiting = names
        self.asked = asked


class MailboxFull(AgenticError):
    """A bounded mailbox with the policy ``fail`` refused a message."""

    def __init__(self, ref: Any, capacity: int) -> None:
        super().__init__(
            f"The mailbox of {ref} is full ({capacity} messages). Slow down, raise its capacity, "
            'or give it another policy: Mailbox(capacity, overflow="backpressure").'
        )
        self.ref = ref
        self.capacity = capacity


class NameTaken(AgenticError):
    """The name, or the key of a registry, belongs to a live actor already: *ref*.

    *holder* is what that actor is called. OTP's ``{already_started, Pid}``.
    """

    def __init__(self, name: Any, ref: Any) -> None:
        holder = _label(ref)
        super().__init__(
            f"The name {name!r} already belongs to {holder}. "
            "Choose another, or stop that actor first."
        )
        self.name = name
        self.holder = holder
        self.ref = ref


class NotRegistered(AgenticError, LookupError):
    """No actor stands under the key of a registry."""

    def __init__(self, registry: str, key: Any) -> None:
        super().__init__(
            f"No actor stands under the key {key!r} of the registry {registry!r}. "
            "Enter one first: registry.register(key, value, ref=ref)."
        )
        self.registry = registry
        self.key = key


class SystemStopped(AgenticError):
    """The actor system has been stopped, so nothing can be started in it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The actor system {name!r} has been stopped, and does not start again. Make one for each "
            "start: `async with ActorSystem() as system:`. Agents, supervisors and engines run in any."
        )


class ForkedSystem(AgenticError):
    """A process that was forked off tried to use its parent's actor system."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The actor system {name!r} belongs to the parent of this forked process, and its loop "
            "does not run here. Start a system of its own in the child, or start the child with "
            'multiprocessing.get_context("spawn").'
        )


class NoSystem(AgenticError):
    """There is no actor system here, and none can be made."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs an actor system. Call it in async code, inside "
            "`async with ActorSystem() as system:`, or use `ActorSystem.in_background()`."
        )


class SeveralSystems(AgenticError):
    """Several actor systems run here, and the code that needs one has inherited none of them.

    *systems* are their names.
    """

    def __init__(self, systems: Iterable[str], what: str = "this code") -> None:
        self.systems = tuple(systems)
        super().__init__(
            f"{len(self.systems)} actor systems run here ({', '.join(self.systems)}), and {what} "
            "has inherited none of them. Say which one is meant: `with system.use():` around it, or "
            "system=... where a call takes it (agent.request, supervisor.start), or "
            "`system.start(SomeActor)`. Tasks that are created inside of `async with system:` "
            "inherit it."
        )


class MissingExtra(AgenticError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: {install_command(extra)}")
        self.extra = extra


# The name on the package index. The import name is taken there by another project.
DISTRIBUTION = "agenticai-actors"


def install_command(extra: str, *, without_dependencies: str | None = None) -> str:
    """Return a command for the shell that adds what *extra* needs to this environment.

    It names the extra's own requirements, as the installed release declares them. So it is right
    however this library was installed: from the index, a wheel that is gone by now, or a checkout,
    whose editable installation it leaves alone. *without_dependencies* names a package to install
    beside them, without what that package asks for.
    """
    import importlib.util
    from importlib import metadata

    # An environment may come without pip, as uv's do; a pip outside can install into it.
    inside = importlib.util.find_spec("pip") is not None
    pip = "pip install" if inside else f"pip --python {shlex.quote(sys.executable)} install"
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # imported from a folder, without an installation
        declared = []
    split = [requirement.partition(";") for requirement in declared]
    marker = re.compile(rf"""extra\s*==\s*["']{re.escape(extra)}["']""")
    wanted = [name.strip() for name, _, condition in split if marker.search(condition)]
    quoted = " ".join(f'"{name}"' for name in wanted or [f"{DISTRIBUTION}[{extra}]"])
    command = f"{pip} {quoted}"
    if without_dependencies is not None:
        command += f" && {pip} --no-deps {without_dependencies}"
    return command


_LONGEST_NAME: Final = 100
_MOST_NAMES: Final = 1_000


def near_names(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists the known names nearest to *name*, or all of them if few."""
    names = sorted({str(k) for k in known})
    name = name[:_LONGEST_NAME]
    if len(names) > _MOST_NAMES:
        # Each comparison costs; of very many, those that begin alike are enough.
        begins = name[:1].lower()
        alike = [each for each in names if each[:1].lower() == begins]
        names = (alike or names)[:_MOST_NAMES]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not close:
        lower = {k.lower(): k for k in names}
        close = [lower[m] for m in difflib.get_close_matches(name.lower(), lower, n=3)]
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    if names:
        listed = ", ".join(repr(k) for k in names[:8])
        return f"Known: {listed}" + (", ..." if len(names) > 8 else ".")
    return "None is known."


def bad_pool_size(option: str, size: int) -> WrongUse:
    """Return the error: a pool was to have no worker."""
    return WrongUse(f"{option}={size}: the pool needs at least one. For example: {option}=8")


def bad_max_threads(most: int, threads: int) -> WrongUse:
    """Return the error: a pool was to have fewer threads in all than it may use at once."""
    return WrongUse(
        f"max_threads={most} is less than threads={threads}: it counts those too that only wait for "
        f"answers. For example: max_threads={2 * threads}"
    )


DISPATCHERS = frozenset(("event_loop", "thread", "pinned", "process"))
"""Where an actor's handler can run."""


def unknown_dispatcher(actor: str, dispatcher: str) -> WrongUse:
    """Return the error: an actor class names a dispatcher that does not exist."""
    return WrongUse(
        f"{actor} has dispatcher = {dispatcher!r}. {near_names(dispatcher, DISPATCHERS)} "
        'For example: dispatcher = "thread"'
    )


def not_a_ref(operation: str, value: Any) -> WrongUse:
    """Return the error: something was given as an actor's ref that is not one."""
    return WrongUse(
        f"{operation} takes the ref of an actor, not {value!r}. A ref is what MyActor.start() "
        "and self.spawn(MyActor) return, and self.actor_ref."
    )


def check_ref(operation: str, value: Any) -> None:
    """Raise `WrongUse` unless *value* is a ref of ours; that of a plain pykka actor is not."""
    if not hasattr(value, "pid"):
        raise not_a_ref(operation, value)


def not_an_actor_class(value: Any) -> WrongUse:
    """Return the error: something was to be started that is not a class of actors of ours."""
    return WrongUse(
        f"{value!r} is not an actor class and cannot be started. Derive the class from "
        "agenticaiframework.actors.Actor, and give the class itself: system.start(MyActor, 1). "
        "A plain pykka actor is started by its own `start`."
    )


def not_awaitable(value: Any) -> WrongUse:
    """Return the error: `pipe_to` was given something that cannot be awaited."""
    return WrongUse(
        f"pipe_to takes an awaitable, not {value!r}. For example: self.pipe_to(fetch(url))"
    )


def not_callable(value: Any) -> WrongUse:
    """Return the error: `become` was given a behaviour that cannot be called."""
    return WrongUse(
        f"become takes a function of the message, not {value!r}. "
        "For example: self.become(self.closed)"
    )


def bad_delay(operation: str, value: Any, wanted: str) -> WrongUse:
    """Return the error: a delay, a period or an idle time is not a number of seconds that makes sense."""
    return WrongUse(
        f"{operation}: {value!r} is not a {wanted} of seconds. For example: self.{operation}(0.5, ...)"
    )


def bad_name(name: Any) -> WrongUse:
    """Return the error: an actor was to have a name that is not one."""
    return WrongUse(
        f"The name must be a non-empty string, not {name!r}. "
        'For example: system.register("clock", ref), or self.spawn(Clock, name="clock")'
    )


def check_name(name: Any) -> None:
    """Raise `WrongUse` unless *name* is a string with something in it."""
    if not isinstance(name, str) or not name.strip():
        raise bad_name(name)


class StillAlive(AgenticError, TimeoutError):
    """An actor did not end within the time that was given to it."""

    def __init__(self, ref: Any, timeout_s: float) -> None:
        super().__init__(f"{_label(ref)} did not end within {timeout_s:g} s")
        self.ref = ref
        self.timeout_s = timeout_s


class ActorNotAsked(AgenticError, RuntimeError):
    """`defer_reply` outside of an ask."""

    def __init__(self, actor: str) -> None:
        super().__init__(
            f"{actor} is handling a told message, which wants no reply. "
            "Test self.current_request before defer_reply()."
        )
