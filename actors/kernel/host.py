"""What the kernel wants of the system that an actor lives in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..log import Log


class Host(Protocol):
    """A system, as the kernel sees it; `ActorSystem` is one. Called on the loop's thread.

    A *cell* is a `Cell`: the kernel's part of one actor, and its ref.
    """

    name: str
    cancel_grace_s: float
    """How long a cancelled handler may clean up before it is abandoned."""
    log: Log
    random: random.Random

    @property
    def running(self) -> bool:
        """Whether actors can be started."""
        ...

    @property
    def scheduler(self) -> Any:
        """The `Home` of its actors."""
        ...

    def dead_letter(
        self, message: Any, recipient: str, reason: Any, /, *, quietly: bool = False
    ) -> None:
        """Record that *message* was not handled, and why; *quietly*: not in the log. From any thread."""
        ...

    def check_dispatcher(self, cell: Any, actor: Any, /) -> None:
        """Raise an error if the handlers of *cell* could not run. In the starter's thread."""
        ...

    def choose_pool(self, cell: Any, dispatcher: str, /) -> Any:
        """Return the `JobRunner` for the handlers of *cell*, which run outside of the loop."""
        ...

    def leave_pool(self, pool: Any, /) -> None:
        """An actor that used *pool* has ended."""
        ...

    def whereis(self, name: str, /) -> Any:
        """Return the live actor of that name, or None."""
        ...

    def launched(self, cell: Any, /) -> None:
        """*cell*, which has a name, starts: its name becomes its address if it is free."""
        ...

    def released(self, cell: Any, /) -> None:
        """*cell*, which has names or groups, takes no more messages: its names are free."""
        ...

    def ended(self, cell: Any, reason: Any, /) -> None:
        """*cell* has ended; its links and monitors are told next."""
        ...

    def crashed(self, cell: Any, error: BaseException, message: Any, /, *, asked: bool) -> bool:
        """*cell* ends because handling *message* raised *error*; return whether there is a record of it.

        *asked* tells whether an asker has been given the error.
        """
        ...

    def start_failed(self, cell: Any, error: BaseException, /) -> None:
        """*cell*, which has no parent, has not started because of *error*."""
        ...

    def left_behind(self, cell: Any, /) -> None:
        """A handler of *cell* did not end when told to, and is fenced off."""
        ...
