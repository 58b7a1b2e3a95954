"""The error of a request that cannot be made: its model has no form for what is asked, or a file that it
names cannot be had."""

from __future__ import annotations

from typing import Any, Final

from agenticaiframework.actors import AgenticError, message_of

from .frames import frames_of
from .unreadable import OF_USERS, READING

_WRITING: Final = (
    *("_map_message", "_map_messages", "_map_model_request"),
    *("_map_user_message", "_map_user_prompt"),
)
"""The functions of pydantic-ai's models that write what is asked in the provider's form."""
_FETCHING: Final = "pydantic_ai._ssrf"
"""What reads the addresses in a payload, and refuses those of this network."""
_UNSENT: Final = (
    *(AttributeError, TypeError, LookupError, AssertionError, ValueError),
    RuntimeError,  # also pydantic-ai's UserError, and what it does not support
)


class UnsendableRequest(AgenticError):
    """A model cannot be sent what it is asked: its provider takes no videos, a document's address does
    not answer or is one of this network, a text has half of a surrogate pair.

    It is the failure of one request, and none of the provider's: the agent is well, nothing was sent,
    and another model may be asked instead. What was raised is the ``__cause__``.
    """

    expected = True

    def __init__(self, provider: str, model: str, why: BaseException) -> None:
        super().__init__(
            f"The model {model!r} of the provider {provider!r} cannot be sent what it is asked: "
            f"{type(why).__name__}: {message_of(why)}"
        )
        self.provider = provider
        self.model = model


def unsendable(error: Exception, model: Any) -> UnsendableRequest | None:
    """Return what *error* is for the asker, if it was raised before the request to *model* was sent.

    Told by where it was raised: a file's server that answers 429 or 500 is not the provider, and must
    count neither for its limits nor for its breaker.
    """
    if not (_fetches(error) or _not_text(error) or _writes(error)):
        return None
    return UnsendableRequest(model.system, model.model_name, error)


def _fetches(error: Exception) -> bool:
    return any(module == _FETCHING for module, _ in frames_of(error.__traceback__))


def _not_text(error: Exception) -> bool:
    return isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason


def _writes(error: Exception) -> bool:
    """Tell whether pydantic-ai has no form for it: a function of the user's that fails is a bug."""
    if not isinstance(error, _UNSENT):
        return False
    frames = frames_of(error.__traceback__)
    if not any(module.startswith(READING) and name in _WRITING for module, name in frames):
        return False
    last = [module for module, _ in frames if module.partition(".")[0] != "pydantic"][-1]
    return last.startswith("pydantic_ai.") and last not in OF_USERS


__all__ = ["UnsendableRequest", "unsendable"]
