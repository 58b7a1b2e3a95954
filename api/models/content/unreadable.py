"""The error of an answer that is none: what a provider sent does not have the form of its interface."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

from agenticaiframework.actors import AgenticError, message_of

from .frames import frames_of

READING: Final = "pydantic_ai.models."
OF_USERS: Final = ("pydantic_ai.models.function", "pydantic_ai.models.test")
"""Models whose answers are made by functions of the user's: an error there is a bug of the program."""
_HELPS: Final = ("pydantic_ai._utils",)
"""What the reader calls, beside pydantic, for a single value."""
_PARSERS: Final = ("pydantic", "json", "jiter")
_MISREAD: Final = (AttributeError, TypeError, LookupError, AssertionError, ValueError)
_ANSWERED: Final = "_process_response"
"""What raises a RuntimeError where pydantic-ai does not support what has come."""


class UnreadableAnswer(AgenticError):
    """A provider has sent what is not an answer: ``null`` in its place, a list instead of a mapping.

    It is the failure of one request: the agent is well, and another model may be asked instead. What
    the reading of it raised is the ``__cause__``.
    """

    expected = True

    def __init__(
        self, provider: str, model: str, why: BaseException, url: str | None = None
    ) -> None:
        at = "" if not url else f" ({url})"
        super().__init__(
            f"The provider {provider!r}{at} has sent an answer of the model {model!r} that cannot be "
            f"read: {type(why).__name__}: {message_of(why)}"
        )
        self.provider = provider
        self.model = model


def unreadable(error: Exception, model: Any) -> UnreadableAnswer | None:
    """Return what *error* is for the asker, if it was raised while an answer of *model* was read.

    *model* is a model object of pydantic-ai, which reads what its provider sends without checking each
    part of it. An error of a request that cannot be made, of a setting without a form in JSON for
    example, is raised by the client beneath, and is not meant.
    """
    if isinstance(error, RecursionError):
        misread = _parses(error.__traceback__)
    elif isinstance(error, RuntimeError):
        misread = _raised_by_reader(error.__traceback__, _ANSWERED)
    else:
        misread = isinstance(error, _MISREAD) and _raised_by_reader(error.__traceback__)
    if not misread:
        return None
    url = message_of(ValueError(getattr(model, "base_url", None) or ""))
    return UnreadableAnswer(model.system, model.model_name, error, url)


def _parses(traceback: TracebackType | None) -> bool:
    """Tell whether *traceback* ends in the reading of JSON, as where that is nested too deep."""
    frames = frames_of(traceback)
    return bool(frames) and frames[-1][0].partition(".")[0] == "json"


def _raised_by_reader(traceback: TracebackType | None, within: str = "") -> bool:
    """Tell whether what was raised comes out of pydantic-ai's code for one provider's answers, and there
    out of its function *within*."""
    last = ""
    passed = not within
    for module, function in frames_of(traceback):
        if module.partition(".")[0] not in _PARSERS and module not in _HELPS:
            last = module
        passed = passed or function == within
    return passed and last.startswith(READING) and last not in OF_USERS


__all__ = ["OF_USERS", "READING", "UnreadableAnswer", "unreadable"]
