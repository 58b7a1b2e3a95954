"""Which errors asking a model raises: failures of one request, after which its agent is well.

The rule is: would another request fare better? A provider that is down, too slow or over its limit, a
request that it refuses, an answer that does not fit: yes, the next request may be another's. A model
that does not exist, a missing extra, a missing key, a bug in our own code: no, and so they crash the
agent, which its supervisor then reports.

Classes are told by their names, over all their bases, so that no model library is imported for it.
"""

from __future__ import annotations

from typing import Final

from ..looks import is_a
from ..refusals import asked_wait_s, http_status_of

MODEL_ERRORS: Final = frozenset(
    {
        # What all of them are built on.
        ("builtins", "ConnectionError"),
        ("builtins", "TimeoutError"),
        ("builtins", "OSError"),
        ("asyncio", "IncompleteReadError"),
        ("http", "HTTPException"),
        ("httpcore", "NetworkError"),
        ("httpcore", "ProtocolError"),
        ("httpcore", "TimeoutException"),
        ("httpx", "HTTPError"),
        ("httpx2", "HTTPError"),
        ("aiohttp", "ClientError"),
        ("urllib3", "HTTPError"),
        ("websockets", "WebSocketException"),
        ("grpc", "RpcError"),
        # An answer that does not fit.
        ("json", "JSONDecodeError"),
        ("pydantic_core", "ValidationError"),
        ("pydantic", "ValidationError"),
        ("jsonschema", "ValidationError"),
        # A store of sessions that does not answer, or a session that was changed elsewhere.
        ("agenticaiframework", "StoreError"),
        # Providers and their frameworks.
        ("pydantic_ai", "AgentRunError"),
        ("openai", "APIError"),
        ("openai", "ContentFilterFinishReasonError"),
        ("openai", "LengthFinishReasonError"),
        ("anthropic", "APIError"),
        ("google", "APIError"),
        ("google", "GoogleAPIError"),
        ("groq", "APIError"),
        ("cohere", "ApiError"),
        ("mistralai", "MistralError"),
        ("mistralai", "SDKError"),
        ("botocore", "ClientError"),
        ("botocore", "ConnectionError"),
        ("botocore", "HTTPClientError"),
        ("huggingface_hub", "HfHubHTTPError"),
    }
)
"""The errors, by the first part of their module and by their class's name; subclasses count."""

FILE_ERRORS: Final = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""Errors of the operating system that are about files, and so about how the program is set up."""


def is_model_error(error: BaseException) -> bool:
    """Tell whether *error* is what asking a model raises, or reports an HTTP status or a wait."""
    if is_a(error, *FILE_ERRORS) or not is_a(error, Exception):
        return False
    for base in type(error).__mro__:
        if (base.__module__.partition(".")[0], base.__name__) in MODEL_ERRORS:
            return True
    return http_status_of(error) is not None or asked_wait_s(error) is not None


__all__ = ["is_model_error"]
