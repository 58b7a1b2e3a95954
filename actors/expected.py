"""Failures of one request alone: the asker gets the error, and the actor is well.

OTP tells two things apart that an exception cannot: a server that crashes, and one that answers
``{error, Reason}``. `RequestRejected` is the second, and so is what an agent declares as expected.
The mark travels: the `AgentFailed` of such a request carries it, and so does the failure of a pattern or
a workflow that failed for nothing else. So a handler that lets it pass is as well as the one that
raised it.
"""

from __future__ import annotations

from .errors import AgenticError
from .looks import is_a


class RequestRejected(AgenticError):
    """Raise it in a handler, or a class of yours that derives from it: this request failed, I am well.

    The asker gets it as the failure's cause. The actor lives, nothing is restarted, and no budget
    of its supervisor is spent. Of a told message a dead letter stays, with this as the reason.
    """

    expected = True


def is_expected(error: BaseException) -> bool:
    """Tell whether *error* says of itself that whatever raised it, or let it pass, is well.

    An `ExceptionGroup` does if all of its exceptions do: tasks that a handler has waited for together.
    """
    if is_a(error, BaseExceptionGroup):
        return all(map(is_expected, error.exceptions))
    return is_a(error, AgenticError) and error.expected is True


__all__ = ["RequestRejected", "is_expected"]
