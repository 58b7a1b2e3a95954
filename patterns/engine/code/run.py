"""`WorkflowRun`: what the code of a workflow makes its calls on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

from ...definition.policy import WorkPolicy
from ...vocabulary.target import Target, target_name
from .branches import branch_of
from .call import Call, Gathering
from .errors import PutAway
from .forms import stored_form
from .plan import NO_POLICY, CallPolicy
from .returns import answers_of, read_returns

if TYPE_CHECKING:
    from ...definition.policy import Retry
    from .host import CodeHost

P = ParamSpec("P")
T = TypeVar("T")

_UNSET: Final[Any] = object()


class WorkflowRun:
    """One run of a workflow that is code: every call on it is recorded, and made once.

    After a crash, or a wait, the code runs again from the top, and each call returns what it returned
    before. So between calls the code must do the same each time: time, chance and the outside world belong
    into calls. It should await calls on the run, and nothing else.
    """

    __slots__ = ("_host",)

    def __init__(self, host: CodeHost) -> None:
        self._host = host

    def __repr__(self) -> str:
        return f"<WorkflowRun {self.id} of {self.workflow!r}>"

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._host.id

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self._host.workflow

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that the run was started with."""
        return self._host.labels

    # -- calls -----------------------------------------------------------------------------------

    @overload
    def ask(
        self,
        target: Any,
        payload: Any = None,
        *,
        returns: type[T],
        name: str | None = None,
        retry: int | Mapping[str, Any] | Retry | None = None,
        timeout_seconds: float | None = None,
        queue_timeout_seconds: float | None = None,
        fallback: Target | None = None,
        default: Any = _UNSET,
        undo: Target | None = None,
    ) -> Call[T]: ...
    @overload
    def ask(
        self,
        target: Any,
        payload: Any = None,
        *,
        returns: Any = None,
        name: str | None = None,
        retry: int | Mapping[str, Any] | Retry | None = None,
        timeout_seconds: float | None = None,
        queue_timeout_seconds: float | None = None,
        fallback: Target | None = None,
        default: Any = _UNSET,
        undo: Target | None = None,
    ) -> Call[Any]: ...
    def ask(
        self,
        target: Any,
        payload: Any = None,
        *,
        returns: Any = None,
        name: str | None = None,
        retry: int | Mapping[str, Any] | Retry | None = None,
        timeout_seconds: float | None = None,
        queue_timeout_seconds: float | None = None,
        fallback: Target | None = None,
        default: Any = _UNSET,
        undo: Target | None = None,
    ) -> Call[Any]:
        """Ask an agent, a team, a pattern or a workflow, by itself or by its name, and return the answer.

        Each attempt may take *timeout_seconds*, and wait *queue_timeout_seconds* for a busy agent. After
        *retry* attempts the *fallback* is asked, or the *default* returned, or else `CallFailed` raised. If
        the run fails or is cancelled later, *undo* is asked with the answer. With *returns* the answer is
        made a value of that type; without it, of the ``output_type`` of the agent that is asked, where
        *target* is that and not its name. *name* is what the call is known by: the target's, if none is given.
        """
        asked = target_name(target)
        call: dict[str, Any] = {"ask": asked}
        made = self._call(
            name or asked, call, target, payload, returns, retry, timeout_seconds,
            queue_timeout_seconds, fallback, default, undo,
        )  # fmt: skip
        if returns is None:
            made.annotated = answers_of(target)
        return made

    def _call(
        self,
        name: str,
        call: dict[str, Any],
        target: Any,
        payload: Any,
        returns: Any,
        retry: Any,
        timeout_s: float | None,
        queue_timeout_s: float | None,
        fallback: Any,
        default: Any,
        undo: Any,
    ) -> Call[Any]:
        host = self._host
        branch = branch_of(host)
        if undo is not None:
            call["undo"] = target_name(undo)
        policy = NO_POLICY
        if not (
            retry is None
            and timeout_s is None
            and queue_timeout_s is None
            and fallback is None
            and default is _UNSET
        ):
            policy = _policy(retry, timeout_s, queue_timeout_s, fallback, default)
        return Call(
            host, branch, name, call, policy, target, payload, undo, fallback, read_returns(returns)
        )

    @overload
    def step(
        self,
        fn: Callable[P, Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]: ...
    @overload
    def step(
        self,
        fn: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]: ...
    @overload
    def step(  # type: ignore[overload-cannot-match]
        self,
        fn: Callable[..., Awaitable[T]],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        retry: int | Mapping[str, Any] | Retry | None = None,
        timeout_seconds: float | None = None,
        name: str | None = None,
        returns: Any = None,
        **kwargs: Any,
    ) -> Call[T]: ...
    @overload
    def step(  # type: ignore[overload-cannot-match]
        self,
        fn: Callable[..., T],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        retry: int | Mapping[str, Any] | Retry | None = None,
        timeout_seconds: float | None = None,
        name: str | None = None,
        returns: Any = None,
        **kwargs: Any,
    ) -> Call[T]: ...
    def step(  # type: ignore[misc]
        self,
        fn: Callable[..., Any],
        *args: Any,
        undo: Callable[..., Any] | None = None,
        retry: Any = None,
        timeout_seconds: float | None = None,
        name: str | None = None,
        returns: Any = None,
        **kwargs: Any,
    ) -> Call[Any]:
        """Call *fn* once, and return what it returned: of the type that it is annotated with, or *returns*.

        A plain function runs off the loop, because it may block. What it does to the world it does under
        ``agent_context()["idempotency_key"]``, the same again if a crash cuts it off. If the run fails or is
        cancelled later, *undo* is called with what *fn* returned.
        """
        known = target_name(fn).strip("<>")
        call: dict[str, Any] = {"step": known}
        made = self._call(
            name or known, call, fn, (args, kwargs), returns, retry, timeout_seconds, None, None,
            _UNSET, undo,
        )  # fmt: skip
        if returns is None:
            made.annotated = self._host.annotations.of(fn)
        return made

    def wait_for(
        self,
        signal: str,
        *,
        question: Any = None,
        timeout_seconds: float | None = None,
        default: Any = _UNSET,
        returns: Any = None,
    ) -> Call[Any]:
        """Wait for a signal from outside, and return its payload: ``engine.signal_workflow(id, signal, ...)``.

        The *question* is shown in the status. After *timeout_seconds* the *default* is returned, or
        `CallTimedOut` raised. A run that waits holds nothing but its story.
        """
        call: dict[str, Any] = {"wait": signal}
        if question is not None:
            call["question"] = stored_form(question)
        if not isinstance(signal, str) or not signal:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"a signal is a non-empty text, not {signal!r}")
        policy = _policy(None, timeout_seconds, None, None, default)
        branch = branch_of(self._host)
        return Call(self._host, branch, signal, call, policy, returns=read_returns(returns))

    def sleep(self, seconds: float) -> Call[None]:
        """Let *seconds* pass, from when this is awaited first. The run holds nothing meanwhile."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"sleep({seconds!r}): give seconds, from 0")
        branch = branch_of(self._host)
        return Call(self._host, branch, "sleep", {"sleep": float(seconds)}, NO_POLICY)

    async def gather(
        self, *calls: Awaitable[T], limit: int | None = None, return_exceptions: bool = False
    ) -> list[T]:
        """Make *calls*, at most *limit* at once, and return what came of them, in their order.

        A coroutine that makes calls counts as one. The first error stops the others, and is raised; with
        *return_exceptions* errors stand among the results.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: at least 1, or None for no limit")
        for call in cast("tuple[Any, ...]", calls):
            if not isinstance(call, Awaitable):
                raise TypeError(
                    f"run.gather(...) takes calls, and {type(call).__name__} is not one. "
                    "Give each by itself: run.gather(*(run.ask(agent, item) for item in items))"
                )
        return await Gathering(self._host, calls, limit, return_exceptions).results()

    # -- what is recorded at once ----------------------------------------------------------------

    def now(self) -> float:
        """Return the seconds since the epoch, as they were when the code came here first."""
        host = self._host
        return cast("float", host.value(branch_of(host), "now", host.clock))

    def random(self) -> float:
        """Return a random number from 0 to 1, the same whenever the code runs again."""
        host = self._host
        return cast("float", host.value(branch_of(host), "random", host.chance))

    def uuid(self) -> str:
        """Return a random UUID, the same whenever the code runs again."""
        host = self._host
        return cast("str", host.value(branch_of(host), "uuid", self._make_uuid))

    def _make_uuid(self) -> str:
        bits = self._host.bits(128) & ~(0xF000 << 64) | (4 << 76)
        text = f"{bits & ~(0xC000 << 48) | (0x8000 << 48):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def changed(self, name: str) -> bool:
        """Tell whether this run takes the new way of a change called *name*.

        True for a run that comes here first with this code; False for one whose journal was written by code
        without this call, so that it goes on as it began.
        """
        host = self._host
        return host.changed(branch_of(host), name)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Let *state* be what the run shows of itself, in the place of what it showed before."""
        host = self._host
        branch_of(host)
        if host.closed:
            raise PutAway
        host.show(state)


def _policy(
    retry: Any, timeout_s: float | None, queue_timeout_s: float | None, fallback: Any, default: Any
) -> CallPolicy:
    if retry is not None or timeout_s is not None or queue_timeout_s is not None:
        checked = WorkPolicy(retry=retry, timeout=timeout_s, queue_timeout_seconds=queue_timeout_s)
        retry, timeout_s = checked.retry, checked.timeout
        queue_timeout_s = checked.queue_timeout_seconds
    return CallPolicy(
        retry,
        timeout_s,
        queue_timeout_s,
        None if fallback is None else target_name(fallback),
        default is not _UNSET,
        None if default is _UNSET else default,
    )
