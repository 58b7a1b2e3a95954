"""The invariants that every run is held to, whatever the scenario."""

from __future__ import annotations

from collections.abc import Iterator

from agenticaiframework.actors.kernel.carried import unwrap_carried
from agenticaiframework.actors.kernel.delivery import is_system_message

from .describe import kind_of
from .errors import InjectedCrash
from .faults import Noise
from .loop import SimLoop
from .observer import SimObserver
from .state import RunState
from .violations import Violation


def after_stop(run: RunState, observer: SimObserver) -> Iterator[Violation]:
    """Yield what does not hold once the system has stopped."""
    now = run.loop.time()
    for rule, detail in _broken(run, observer):
        yield Violation(rule, detail, now)


def _broken(run: RunState, observer: SimObserver) -> Iterator[tuple[str, str]]:
    yield from _asks_end(run, observer)
    yield from _messages_are_accounted_for(observer)
    yield from _nobody_is_left(observer)
    yield from _callbacks_do_not_fail(run.loop)


def _asks_end(run: RunState, observer: SimObserver) -> Iterator[tuple[str, str]]:
    """No ask without an end: an answer, an error, or an asker that has given up."""
    for ask in observer.open_asks():
        target = run.labels.of(getattr(ask, "_target", None))
        yield "no ask without an end", f"{kind_of(ask.message)} to {target} was never answered"


def _messages_are_accounted_for(observer: SimObserver) -> Iterator[tuple[str, str]]:
    """Each message is handled once, still queued, or a dead letter."""
    kept = {
        id(item)
        for watched in observer.all()
        if watched.address is not None
        for item in watched.address.kept
    }
    for label, ledger in observer.left.items():
        for item, sender, _ in ledger.pending:
            sent = unwrap_carried(item)
            if id(sent) in observer.dead or id(item) in kept or is_system_message(item):
                continue
            if item.__class__ is Noise or hasattr(item, "asker_waiting"):
                continue  # means nothing, or is an ask: the rule above
            yield (
                "no message is lost",
                f"{kind_of(item)} from {sender or 'outside'} to {label} vanished",
            )


def _nobody_is_left(observer: SimObserver) -> Iterator[tuple[str, str]]:
    """No actor outlives the system; tasks are looked at when they are cancelled.

    Threads cannot: none can be started in a run. Other threads of the process come and go as they like.
    """
    for watched in observer.live():
        yield "no orphan actor", f"{watched.label} has not ended"


def _callbacks_do_not_fail(loop: SimLoop) -> Iterator[tuple[str, str]]:
    """No callback of the loop raises: such an error would go nowhere."""
    for context in loop.unhandled:
        error = context.get("exception")
        if "handle" in context and not isinstance(error, InjectedCrash):
            yield "no silent failure", f"{context.get('message')}: {error!r}"
