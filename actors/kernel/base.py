# pyright: reportPrivateUsage=false
"""What the kernel needs of an actor's class: its hooks, and what it has declared about them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pykka

from ..expected import is_expected
from .future import ActorFuture
from .mailbox import UNBOUNDED, Mailbox, bad_mailbox_policy
from .pykka_seam import PykkaActor

if TYPE_CHECKING:
    from types import TracebackType


KERNEL_STATE = frozenset({"_ref", "_stopped_event"})
"""The attributes of an actor that are the kernel's; all others are its class's and its user's."""


class ActorBase(PykkaActor):
    """The part of `Actor` that the kernel calls. The kernel's own state of an actor is its `Cell`."""

    # No __slots__: on 3.13 a class that has both them and a dictionary pays 300 bytes for the first
    # attribute that a user adds, and reads each more slowly.

    dispatcher: ClassVar[str] = "event_loop"
    crash_on_ask_error: bool | None = None
    mailbox: Mailbox = UNBOUNDED
    obey_parent: ClassVar[bool] = True
    children_crash_on_ask_error: ClassVar[bool] = False
    """What None as a child's own `crash_on_ask_error` means. A supervisor says True."""

    reports_children: ClassVar[bool] = False
    """Whether it writes a record of each crash of a child, because it knows what follows."""

    exit_is_crash: ClassVar[bool] = False
    """Whether `SystemExit` out of a handler or hook on the loop is a crash and not the end of the
    program. The library's own actors, which run what their users wrote, say True; False is pykka's
    contract. In a thread it is always a crash, as it ends no program there without actors either."""

    stands_for_remote: ClassVar[bool] = False
    """Whether it stands for an actor of another node: exit signals and links go on to that one, by
    `_signalled`, `_link_made`, `_link_undone` and `_withdrawn`, and messages that no bound holds up
    by `_put_in`."""

    _workload: tuple[int, int] | None = None
    """Of an actor that has others do its work: how many of them are busy, and how many there may be."""

    _stopped_event: threading.Event | None = None
    """pykka's `actor_stopped`; an attribute of the few instances that are asked for it."""

    _is_async: ClassVar[bool] = False
    _has_on_start: bool = False
    _has_on_stop: bool = False
    _has_on_failure: bool = False
    _stop_takes_reason: bool = False

    _ref: Any
    """The actor's ref, which is its cell too. Set by `Actor.__init__`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        mailbox: Any = cls.__dict__.get("mailbox", UNBOUNDED)
        if not isinstance(mailbox, Mailbox) and not hasattr(mailbox, "__get__"):
            raise bad_mailbox_policy(
                f"{cls.__name__}.mailbox is {mailbox!r}, which is not a Mailbox"
            )
        cls._is_async = inspect.iscoroutinefunction(cls.on_receive)
        cls._has_on_start = cls.on_start not in _NO_START
        cls._has_on_stop = cls.on_stop not in _NO_STOP
        cls._has_on_failure = cls.on_failure not in _NO_FAILURE
        cls._stop_takes_reason = cls._has_on_stop and takes_an_argument(cls.on_stop)

    @staticmethod
    def _new_future() -> ActorFuture:
        return ActorFuture()

    def _work_for_child(self, message: Any) -> bytes | None:
        """Return what a child process needs in order to handle *message*; None: handle it here."""
        raise NotImplementedError

    def _expects(self, error: Exception) -> bool:
        """Tell whether *error* out of a handler is the failure of one request, and no crash."""
        return is_expected(error)

    # -- what stands for a remote actor passes on ------------------------------------------------

    def _signalled(self, sender: Any, reason: Any, via_link: bool) -> None:
        """Take an exit signal."""
        raise NotImplementedError

    def _link_made(self, ref: Any) -> None:
        """*ref* has linked itself with this actor."""
        raise NotImplementedError

    def _link_undone(self, ref: Any) -> None:
        """*ref* has undone its link with this actor."""
        raise NotImplementedError

    def _put_in(self, item: Any) -> None:
        """Take a message or request in, whatever the bound."""
        raise NotImplementedError

    def _withdrawn(self, request: Any, timeout: BaseException | None) -> None:
        """The asker of *request* waits no more."""
        raise NotImplementedError

    # -- who waits for whom ----------------------------------------------------------------------

    def circle_name(self, ref: Any) -> str | None:
        """Return its name in the chain of `CallingSelf`; None: it is left out of that."""
        label: str = ref.label
        return label

    def held_up_by(self, request: Any) -> Sequence[Any]:
        """Return whose handlers all must get on before *request*, which was deferred, is answered.

        Nothing, if that is not known: an actor that gives out a number of places knows it.
        """
        return ()

    # -- hooks -----------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Run before the first message. May be ``async``; an exception means that it did not start."""

    def on_stop(self) -> Any:
        """Run at the end, unless it ends by an exception. May be ``async``, and may take the reason.

        It runs exactly once: here after every orderly end, exit signal and kill; for an exception it
        is `on_failure` that runs.
        """

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Run at the end by an exception, instead of `on_stop`. May be ``async``."""


_NO_START = (ActorBase.on_start, pykka.Actor.on_start)
_NO_STOP = (ActorBase.on_stop, pykka.Actor.on_stop)
_NO_FAILURE = (ActorBase.on_failure, pykka.Actor.on_failure)


def stand_in(actor: ActorBase, ref: Any) -> None:
    """Let *ref* stand in the place of the ref of *actor*, a copy of it in a child process."""
    actor._ref = ref


def takes_an_argument(hook: Callable[..., Any]) -> bool:
    """Tell whether *hook*, a function of a class, takes something besides ``self``."""
    try:
        parameters = list(inspect.signature(hook).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([p for p in parameters if p.kind in positional]) > 1
