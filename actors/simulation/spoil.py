"""What a fault makes of the handling of one message: another handler in the place of the actor's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors.kernel.cell import dispatcher_of

from . import faults as f
from .errors import InjectedCrash
from .state import RunState

Receive = Callable[[Any], Any]


def spoiled(run: RunState, fault: Any, cell: Any, receive: Receive) -> Receive:
    """Return what handles the message in the place of *receive* when *fault* strikes."""
    kind: Any = fault.__class__
    blocks = dispatcher_of(cell) != "event_loop" and kind in _SPOIL_BLOCKING
    return (_SPOIL_BLOCKING if blocks else _SPOIL)[kind](run, fault, cell, receive)


def _crash(run: RunState, fault: f.Crash, cell: Any, receive: Receive) -> Receive:
    def crash(message: Any) -> Any:
        if not fault.after:
            raise InjectedCrash(fault.error)
        result = receive(message)
        if asyncio.iscoroutine(result):
            return _then_crash(result, fault.error)
        raise InjectedCrash(fault.error)

    return crash


async def _then_crash(work: Awaitable[Any], error: str) -> None:
    await work
    raise InjectedCrash(error)


def _kill(run: RunState, fault: f.Kill, cell: Any, receive: Receive) -> Receive:
    async def be_killed(message: Any) -> None:
        cell.kill()
        await run.loop.create_future()

    return be_killed


def _hang(run: RunState, fault: f.Hang, cell: Any, receive: Receive) -> Receive:
    async def hang(message: Any) -> None:
        await run.loop.create_future()

    return hang


def _slow(run: RunState, fault: f.Slow, cell: Any, receive: Receive) -> Receive:
    async def slow(message: Any) -> Any:
        await asyncio.sleep(fault.delay_s)
        result = receive(message)
        return await result if asyncio.iscoroutine(result) else result

    return slow


def _late(run: RunState, fault: f.LateAnswer, cell: Any, receive: Receive) -> Receive:
    async def late(message: Any) -> Any:
        result = receive(message)
        if asyncio.iscoroutine(result):
            result = await result
        await asyncio.sleep(fault.delay_s)
        return result

    return late


def _garbage(run: RunState, fault: f.Garbage, cell: Any, receive: Receive) -> Receive:
    def garbage(message: Any) -> Any:
        result = receive(message)
        return _then_return(result, fault.value) if asyncio.iscoroutine(result) else fault.value

    return garbage


async def _then_return(work: Awaitable[Any], value: Any) -> Any:
    await work
    return value


def _swallow(run: RunState, fault: f.SwallowCancel, cell: Any, receive: Receive) -> Receive:
    async def stubborn(message: Any) -> Any:
        until = run.loop.time() + fault.delay_s
        while (left := until - run.loop.time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                run.trace.add("note", run.labels.of(cell), "", "swallows its cancellation")
        result = receive(message)
        return await result if asyncio.iscoroutine(result) else result

    return stubborn


def _block(run: RunState, fault: f.BlockLoop, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        run.loop.block(fault.delay_s)
        return receive(message)

    return block


def _fill(run: RunState, fault: f.FillMailbox, cell: Any, receive: Receive) -> Receive:
    def fill(message: Any) -> Any:
        for _ in range(fault.count):
            try:
                cell.tell(f.Noise())
            except Exception:
                break  # full, as intended
        return receive(message)

    return fill


_SPOIL: dict[type, Callable[[RunState, Any, Any, Receive], Receive]] = {
    f.Crash: _crash,
    f.Kill: _kill,
    f.Hang: _hang,
    f.Slow: _slow,
    f.LateAnswer: _late,
    f.Garbage: _garbage,
    f.SwallowCancel: _swallow,
    f.BlockLoop: _block,
    f.FillMailbox: _fill,
}


# In a thread or a process nothing can be awaited, and nothing be cancelled: there a handler blocks.


def _block_for_ever(run: RunState, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> None:
        if isinstance(fault, f.Kill):
            cell.kill()
        time.sleep(float("inf"))

    return block


def _block_before(run: RunState, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        time.sleep(fault.delay_s)
        return receive(message)

    return block


def _block_after(run: RunState, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        result = receive(message)
        time.sleep(fault.delay_s)
        return result

    return block


_SPOIL_BLOCKING: dict[type, Callable[[RunState, Any, Any, Receive], Receive]] = {
    f.Kill: _block_for_ever,
    f.Hang: _block_for_ever,
    f.Slow: _block_before,
    f.SwallowCancel: _block_before,
    f.LateAnswer: _block_after,
    f.BlockLoop: _block_before,
}
