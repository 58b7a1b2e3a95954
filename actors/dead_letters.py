"""Dead letters: what no actor handled is kept, counted and shown, never dropped in silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from .kernel.carried import Carrier
from .kernel.self_sent import SelfSent
from .looks import is_a, shown
from .messages import DeadLetter
from .reasons import describe_reason
from .secrets import masked

if TYPE_CHECKING:
    from .log import Log

RECENT: Final = 256

EXPECTED: Final = ("withdrawn", "fenced", "shutdown")
"""Why letters are dead that need no record: their senders have given up, or the system ends."""

TOO_LATE: Final = ("noproc", "normal")
"""Why letters are dead whose recipients had ended in order."""

LONGEST: Final = 500
"""Characters of a message in a record, where records show them."""


class DeadLetters:
    """The recent dead letters of a system, and how many there were in all.

    Owned by the loop's thread. At most `RECENT` are kept, so that a service which loses messages
    does not lose its memory too; `subscribe` sees each.
    """

    def __init__(self, log: Log) -> None:
        self._recent: deque[DeadLetter] = deque(maxlen=RECENT)
        self._subscribers: list[Callable[[DeadLetter], None]] = []
        self._log = log
        self.count = 0

    def __len__(self) -> int:
        return len(self._recent)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(list(self._recent))

    def __getitem__(self, index: int) -> DeadLetter:
        return self._recent[index]

    def subscribe(self, fn: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call *fn* with every dead letter from now on; returns a function that ends it."""
        self._subscribers.append(fn)

        def unsubscribe() -> None:
            if fn in self._subscribers:
                self._subscribers.remove(fn)

        return unsubscribe

    def add(self, message: Any, recipient: str, reason: Any, quietly: bool = False) -> None:
        """Record that *message* to *recipient* was not handled, and why.

        *quietly*: another log record tells of it, or nobody misses it.
        """
        if is_a(message, SelfSent):
            message = message.message
        if is_a(message, Carrier):
            message = message.as_letter()  # letters are kept long, and shown to others
        letter = DeadLetter(message, recipient, reason)
        self.count += 1
        self._recent.append(letter)
        self._tell(letter, quietly or reason_is(reason, EXPECTED))
        for fn in list(self._subscribers):
            try:
                fn(letter)
            except Exception as error:
                self._log.error("A subscriber failed on a dead letter", error=error)

    def _tell(self, letter: DeadLetter, quietly: bool) -> None:
        message, recipient, reason = letter.message, letter.recipient, letter.reason
        what = type(message).__name__
        if quietly:
            self._log.trace("Dead letter for {}: {} ({})", recipient, what, describe_reason(reason))
            return
        shows = f": {masked(shown(message, LONGEST))}" if self._log.payloads else ""
        self._log.report(
            "dead_letter",
            recipient,
            "INFO" if reason_is(reason, TOO_LATE) else "WARNING",
            f"Dead letter for {recipient}: a {what} was not handled "
            f"({describe_reason(reason)}){shows}; it is dropped",
            reason=reason,
            actor=recipient,
            message_type=what,
            next="it is dropped",
        )


def reason_is(reason: Any, words: tuple[str, ...]) -> bool:
    """Tell whether *reason* is one of *words*; objects with a comparison of their own are not asked."""
    return type(reason) is str and reason in words
