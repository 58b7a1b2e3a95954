"""How long a supervisor waits before a restart: fixed, linear or exponential, capped, with jitter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BackoffType(StrEnum):
    """How the delay grows with the number of restarts in a row.

    With ``initial_delay_ms=100`` the delays of the first four restarts are

    - ``FIXED``: 100, 100, 100, 100 ms;
    - ``LINEAR``: 100, 200, 300, 400 ms;
    - ``EXPONENTIAL``: 100, 200, 400, 800 ms;

    each never more than ``max_delay_ms``.
    """

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay that depends on how often the child was restarted in a row without having served.

    *jitter* is the part of the delay that chance may take away: 0.2 draws from 80 % to 100 % of it,
    so that children which failed together do not come back together. It never lengthens a delay.
    """

    type: BackoffType = BackoffType.FIXED
    initial_delay_s: float = 0.0
    max_delay_s: float = 30.0
    jitter: float = 0.0

    def delay_s(self, earlier: int, chance: float = 0.0) -> float:
        """Return the seconds to wait before a restart that *earlier* restarts in a row preceded.

        *chance* is a random number from 0 to 1; 0 gives the full delay.

        >>> Backoff(BackoffType.EXPONENTIAL, 0.1, max_delay_s=1.0).delay_s(2)
        0.4
        >>> Backoff(BackoffType.EXPONENTIAL, 0.1, max_delay_s=1.0).delay_s(5000)
        1.0
        >>> Backoff(BackoffType.FIXED, 10.0, jitter=0.2).delay_s(0, chance=0.5)
        9.0
        """
        delay = self.initial_delay_s
        if self.type is BackoffType.LINEAR:
            delay *= earlier + 1
        elif self.type is BackoffType.EXPONENTIAL and delay > 0:
            # 2 ** 64 times any delay is over every sensible cap, and floats end at 2 ** 1024.
            delay *= 2 ** min(earlier, 64)
        delay = min(delay, self.max_delay_s)
        return delay * (1.0 - self.jitter * chance)


NO_BACKOFF = Backoff()
