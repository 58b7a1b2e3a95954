# pyright: reportPrivateUsage=false
"""Every use of a private name of pykka, in one file.

pykka's public classes are enough for most of it: an actor of ours is a `pykka.Actor`, a ref a
`pykka.ActorRef`, a future a `pykka.Future`. What pykka does not publish, and is needed all the same,
is here, with the reason; the upper bound of the dependency is the last version that was seen to
have it (`tests/actors/test_pykka_seam.py` runs against what that bound admits).

- The methods that an implementer of actors overrides (``_create_future``, ``_start_actor_loop`` ...).
- The message that stops an actor, and the envelope of its inbox.
- The list of `pykka.ActorRegistry`. Our live actors stand in it, so that its documented functions find
  them. `register` and `unregister` would do, but write each ref into a debug record, for which pykka
  makes a UUID, and remove from the list in O(n): a millisecond for each end among a hundred thousand. Neither the list nor anything else of the registry is replaced.
- The end of a plain pykka actor, which pykka does not announce.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from bisect import bisect_left
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast

import pykka
from pykka import messages
from pykka._envelope import Envelope

from ..looks import frames_of, shown, text_of

# pykka's own logger: raw actors log what pykka documents, where its users look for it.
logger = logging.getLogger("pykka")

HAS_RECORD: Final = "agenticaiframework_record"
"""The attribute of pykka's records of which the library writes one itself, with more in it."""

A = TypeVar("A", bound="pykka.Actor")

ActorStop: type[Any] = messages._ActorStop
"""What asks an actor to stop."""

PROXY_MESSAGES: Final = (messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr)
"""What proxies send; pykka itself handles it."""

HANDLE: Final = "_handle_receive"
"""The method of an actor that handles the messages of proxies."""


# -- the registry ----------------------------------------------------------------------------------

_registry_lock = pykka.ActorRegistry._actor_refs_lock
_pid_of = attrgetter("pid")


# Without the lock, and by the list's own method, because each start of an actor pays for it: to append
# is one step, and disturbs neither those that go through the list nor the places of what is in it.
enter_registry: Callable[[Any], None] = pykka.ActorRegistry._actor_refs.append
"""Let `pykka.ActorRegistry` find the ref that this is given, which has started. Safe from any thread."""


def leave_registry(ref: Any) -> None:
    """Let `pykka.ActorRegistry` find *ref* no more. Safe from any thread.

    Refs are numbered in the order of their making, which nearly is that of their start: so the place
    is found by bisection, and only where that misses (a plain actor stands at a place that was looked
    at, or two threads have started actors at once) by going through the list as pykka does.
    """
    with _registry_lock:
        refs = cast("list[Any]", pykka.ActorRegistry._actor_refs)
        if refs and refs[-1] is ref:
            refs.pop()
            return
        try:
            place = bisect_left(refs, ref.pid, key=_pid_of)
        except AttributeError:
            place = len(refs)
        if place < len(refs) and refs[place] is ref:
            del refs[place]
        elif ref in refs:
            refs.remove(ref)


def log_stop(actor: Any, ref: Any) -> None:
    """Write pykka's records of an actor that has stopped, if their level is enabled."""
    if logger.isEnabledFor(logging.DEBUG):
        _log(logging.DEBUG, f"Unregistered {text_of(ref)}")
        _log(logging.DEBUG, f"Stopped {text_of(actor)}")


def log_failure(actor: Any, error: BaseException, *, has_record: bool = False) -> None:
    """Log an exception that is reported nowhere else, as pykka does.

    If the library *has_record* of it, only where the standard library's logging has a handler: not
    twice on the console of a program that has set none up.
    """
    if has_record and not logger.hasHandlers():
        return
    _log(logging.ERROR, f"Unhandled exception in {text_of(actor)}:", error, has_record)


def log_answered(actor: Any, error: BaseException, *, asked: bool) -> None:
    """Log an exception that is not a crash of its actor, as pykka does."""
    shown_as = text_of(actor)
    said = f"returned from {shown_as} to caller" if asked else f"in {shown_as}, which goes on"
    _log(logging.INFO, f"Exception {said}:", error)


def log_end_of_program(actor: Any, error: BaseException) -> None:
    """Log that an exception which is not an `Exception` ends all actors, as pykka does."""
    _log(logging.DEBUG, f"{shown(error)} in {text_of(actor)}. Stopping all actors.")


def _log(
    level: int, text: str, error: BaseException | None = None, has_record: bool = False
) -> None:
    try:
        about = None if error is None else (type(error), error, frames_of(error))
        logger.log(level, text, exc_info=about, extra={HAS_RECORD: True} if has_record else None)
    except Exception:
        traceback.print_exc()  # a handler of the standard library's logging has raised


if hasattr(os, "register_at_fork"):
    # A fork in the middle of another thread's start or end would leave the lock held in the child.
    os.register_at_fork(
        before=_registry_lock.acquire,
        after_in_parent=_registry_lock.release,
        after_in_child=_registry_lock.release,
    )


# -- actors, refs and futures of ours ------------------------------------------------------------


class PykkaActor(pykka.Actor):
    """A `pykka.Actor` whose mailbox and turns are the kernel's."""

    @staticmethod
    def _create_actor_inbox() -> Any:
        return None

    @classmethod
    def _create_future(cls) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return cls._new_future()

    @staticmethod
    def _new_future() -> Any:
        raise NotImplementedError

    def _start_actor_loop(self) -> None:
        self._enter_current_system()

    def _enter_current_system(self) -> None:
        raise NotImplementedError


class PykkaRef(pykka.ActorRef[A], Generic[A]):
    """A `pykka.ActorRef` without pykka's attributes: each would cost an actor its bytes."""

    # No slots: with any, a second base with slots could not stand beside it.
    __slots__ = ()

    def _actor_weakref(self) -> Any:  # type: ignore[override]
        """Return the actor: pykka's own code calls its weak reference."""
        return self._live_actor()

    def _live_actor(self) -> Any:
        raise NotImplementedError


class PykkaFuture(pykka.ThreadingFuture[Any]):
    """A `pykka.ThreadingFuture` that can be asked whether it has its answer."""

    @property
    def answered(self) -> bool:
        """Whether the answer, or the error, is there."""
        return self._result is not None

    @property
    def computed(self) -> bool:
        """Whether `get` computes the answer, which may block (`map`, `filter`, `join`, a stop)."""
        return self._get_hook is not None

    @property
    def lock(self) -> threading.Condition:
        """What pykka sets the answer under."""
        return self._condition


def future_for(actor_class: type[Any]) -> Any:
    """Return a future for an ask of an actor of *actor_class*."""
    return actor_class._create_future()


# -- plain pykka actors ----------------------------------------------------------------------------


def watch_end(ref: pykka.ActorRef[Any], ended: Callable[[BaseException | None], object]) -> bool:
    """Call ``ended(error)`` on the thread of the plain actor of *ref* when it ends.

    *error* is what it failed with, or None. Return False if it has ended already.

    What an actor does at its end is to call ``_actor_loop_teardown`` (and, for an exception,
    ``_handle_failure`` and ``on_failure``) on itself; this puts itself before them on the one
    instance that is watched.
    """
    actor: Any = ref._actor_weakref()
    if actor is None or ref.actor_stopped.is_set():
        return False
    failure: BaseException | None = None
    teardown = actor._actor_loop_teardown
    handle_failure = actor._handle_failure
    on_failure = actor.on_failure

    def watched_failure(exception_type: Any, exception_value: Any, traceback: Any) -> None:
        nonlocal failure
        failure = exception_value
        handle_failure(exception_type, exception_value, traceback)

    def watched_hook(exception_type: Any, exception_value: Any, traceback: Any) -> None:
        nonlocal failure
        failure = exception_value  # its failure may have begun before it was watched
        on_failure(exception_type, exception_value, traceback)

    def watched_teardown() -> None:
        try:
            teardown()
        finally:
            ended(failure)

    actor._handle_failure = watched_failure
    actor.on_failure = watched_hook
    actor._actor_loop_teardown = watched_teardown
    # It may have ended meanwhile, and have been past what would have told.
    return not ref.actor_stopped.is_set()


__all__ = [
    "HANDLE",
    "PROXY_MESSAGES",
    "ActorStop",
    "Envelope",
    "PykkaActor",
    "PykkaFuture",
    "PykkaRef",
    "enter_registry",
    "future_for",
    "leave_registry",
    "log_failure",
    "log_stop",
    "logger",
    "watch_end",
]
