# pyright: reportPrivateUsage=false
"""Who waits for whom: finds the circle that an ask closes, in which each would wait for ever.

Each waiting handler knows what it awaits (`Cell._awaits`), and each request whose handler has to get
on before there is an answer. So a circle is found by following these from the request that is about
to be awaited, which is one step where the handler that was asked waits for nothing. Nobody counts or
registers anything, and what is followed is certain: asyncio's tasks and futures are the watchdog's business.

The looks are made by the thread of the asking handler, whichever that is. What it reads of other
threads' handlers stands still as long as they wait, and they wait if there is a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, Protocol

from ..errors import CallingSelf


class Waiting(Protocol):
    """What has to get on before something else can: a handler, or a run of a workflow."""

    circle_name: str | None
    """What it is called in the words of an error; None: it is not mentioned."""

    def awaited(self) -> tuple[Sequence[Any], bool]:
        """Return the pending requests that it waits for, and whether some of them may be enough."""
        ...


Look = Callable[[Any], tuple[Sequence[Any], bool]]
"""Returns what a `Waiting` awaits, as its method of that name does."""


def awaited(waiting: Any) -> tuple[Sequence[Any], bool]:
    """Return what *waiting* is known to await."""
    found: tuple[Sequence[Any], bool] = waiting.awaited()
    return found


def ahead_of(request: Any) -> Sequence[Any]:
    """Return the actors of which one has to become free before *request* is answered; () if unknown."""
    if not request.delivered:
        return request.held_up_by()  # type: ignore[no-any-return]
    target = request._target
    if target.lasting:
        handlers: Sequence[Any] = target.handlers_of(request)
    else:
        handlers = (target,)
    if len(handlers) == 1:
        ext = handlers[0]._ext
        if ext is not None and ext.deferred and request in ext.deferred:
            actor = handlers[0]._actor
            return () if actor is None else actor.held_up_by(request)
    return handlers


def find_circle(request: Any, asker: Any, look: Look = awaited) -> list[Any] | None:
    """Return the cells that wait for one another, from the asked one to *asker*; None without a circle.

    *request* is what *asker* (a cell; None if it has none) is about to wait for.
    """
    return _way_back(request, request, asker, look, {}, False, False)


def _way_back(
    start: Any,
    request: Any,
    asker: Any,
    look: Look,
    seen: dict[Any, bool],
    strict: bool,
    any_circle: bool,
) -> list[Any] | None:
    """Follow *request* to *asker*, or to the request *start* itself.

    *seen* has who was met: True while the way from there is looked at, False if it leads nowhere.

    *strict*: only over handlers that work for the request. One that works for others meanwhile might
    be rid of it. *any_circle*: those that wait for one another without *asker* count as well: of
    several handlers each must be held up, in whatever way.
    """
    way: list[Any] = []
    while (handlers := ahead_of(request)) and len(handlers) == 1:
        handler = handlers[0]
        if strict and getattr(handler, "_current", request) is not request:
            break
        if handler is asker:
            return [*way, handler]
        if handler in seen:
            if any_circle and seen[handler]:
                return [*way, handler]
            break
        way.append(handler)
        seen[handler] = True
        requests, race = look(handler)
        strict = strict or race
        if start in requests:
            return way
        if len(requests) == 1:
            request = requests[0]
            continue
        for one in requests:
            rest = _way_back(start, one, asker, look, seen, strict, any_circle)
            if rest is not None:
                return way + rest
        break
    else:
        rest = _all_ways_back(start, handlers, asker, look, seen, strict) if handlers else None
        if rest is not None:
            return way + rest
    for handler in way:
        seen[handler] = False
    return None


def _all_ways_back(
    start: Any,
    handlers: Iterable[Any],
    asker: Any,
    look: Look,
    seen: dict[Any, bool],
    strict: bool,
) -> list[Any] | None:
    """Return a way back over *handlers*, if each of them is held up, in the end by *asker*."""
    first: list[Any] | None = None
    for handler in handlers:
        found: list[Any] | None = None
        if handler is asker or seen.get(handler):
            found = [handler]
        elif handler not in seen:
            seen[handler] = True
            requests, race = look(handler)
            if start in requests:
                found = [handler]
            for one in () if found else requests:
                rest = _way_back(start, one, asker, look, seen, strict or race, True)
                if rest is not None:
                    found = [handler, *rest]
                    break
        if found is None:
            seen[handler] = False
            return None
        if first is None or asker in found:
            first = found
    return first


def circle_of(request: Any) -> CallingSelf | None:
    """Return the error that says that *request* waits for itself, if it does; on the loop's thread.

    For who is known to wait for it already: a run of a workflow waits for what it has under way.
    """
    way = find_circle(request, None)
    return None if way is None else calling_self(way, getattr(request, "advice", ""))


def refuse_if_circle(request: Any) -> None:
    """Fail *request* with `CallingSelf` if its asker waits for itself; on the loop's thread."""
    handler = request._target.latest or request._target
    deferred = None if handler._ext is None else handler._ext.deferred
    waits = handler._awaits is not None or (deferred and request in deferred)
    if request.delivered and not waits:
        return
    error = circle_of(request)
    if error is not None:
        request.refuse(error)


def steps_of(way: Sequence[Any], look: Look) -> Iterator[tuple[Any, Any]]:
    """Yield each of *way* with the request that it waits for the next one with, or the last for the first.

    Nothing if they do not wait for one another any more.
    """
    steps: list[tuple[Any, Any]] = []
    for place, one in enumerate(way):
        following = way[(place + 1) % len(way)]
        for request in look(one)[0]:
            if following in ahead_of(request):
                steps.append((one, request))
                break
        else:
            return
    yield from steps


def end_ask(request: Any, error: CallingSelf) -> None:
    """Fail *request* with *error* for its asker. Safe from any thread."""
    home = request._home
    if home is None:
        return
    home.post_or_call(request.refuse, error)
    handler = request._target.latest or request._target
    if request.delivered and not handler.lasting:
        home.post_or_call(take_out, handler, request)


def is_held_up(waiting: Any, without_thread: Container[Any]) -> bool:
    """Tell whether *waiting* can only go on after one of the cells *without_thread*."""
    return _is_held_up(waiting, without_thread, set())


def _is_held_up(waiting: Any, without_thread: Container[Any], seen: set[Any]) -> bool:
    while True:
        if waiting in without_thread:
            return True
        if waiting in seen:
            return False
        seen.add(waiting)
        requests, race = awaited(waiting)
        ways = [ahead_of(request) for request in requests]
        if len(ways) == 1 and len(ways[0]) == 1:
            waiting = ways[0][0]
            continue
        held_up = [
            bool(way) and all(_is_held_up(one, without_thread, seen) for one in way) for way in ways
        ]
        return bool(held_up) and (all(held_up) if race else any(held_up))


def calling_self(way: Sequence[Any], advice: str = "") -> CallingSelf:
    """Return the error that says that those of *way* wait for one another, the last for the first."""
    names = [name for one in way if (name := one.circle_name)]
    return CallingSelf(way[0], names, advice)


def take_out(cell: Any, item: Any) -> None:
    """Take *item*, which has no asker any more, out of the messages that wait for *cell*; on the loop's thread."""
    ext = cell._ext
    job = None if ext is None else ext.job
    if job is not None:
        job.recall()
    mailbox = cell._mailbox
    if mailbox and any(other is item for other in mailbox):
        rest = [other for other in mailbox if other is not item]
        mailbox.clear()
        mailbox.extend(rest)
        getattr(mailbox, "admit", int)()


__all__ = [
    "Look",
    "Waiting",
    "ahead_of",
    "awaited",
    "calling_self",
    "circle_of",
    "end_ask",
    "find_circle",
    "is_held_up",
    "refuse_if_circle",
    "steps_of",
    "take_out",
]
