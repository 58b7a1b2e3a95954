"""Real answers of providers for tests: made once, kept in a file, and given from it from then on."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from agenticaiframework.actors import AgenticError, MissingExtra, causes_of
from agenticaiframework.models.providers.interposed import set_interposed

if TYPE_CHECKING:
    from pydantic_ai.capabilities import AbstractCapability

Record: TypeAlias = Literal["once", "never", "again"]
"""Whether requests are made: where there is no recording yet, not at all, or in any case."""

MASK: Final = "***"

_SECRET_HEADERS: Final = (
    *("authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie", "set-cookie"),
    *("openai-organization", "openai-project", "proxy-authorization", "x-amz-security-token"),
)
_SECRET_PARAMETERS: Final = ("key", "api_key", "apikey", "access_token", "token")
_KEY_VARIABLES: Final = (
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "MISTRAL_API_KEY"),
    *("CO_API_KEY", "XAI_API_KEY", "OPENROUTER_API_KEY", "DEEPSEEK_API_KEY"),
)
_KEY: Final = re.compile(
    rb"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}|\bgsk_[A-Za-z0-9]{12,}"
    rb"|(?<=Bearer )[A-Za-z0-9._~+/-]{8,}"
)


class NotRecorded(AgenticError):
    """A model was asked what the recording has no answer to, and nothing may be sent."""

    def __init__(self, file: Path, request: str) -> None:
        super().__init__(
            f"The recording {str(file)!r} has no answer to this request: {request}. The agent asks "
            "in other words than when it was recorded, or more often. Record it anew: delete the file, or "
            f"recorded_model({str(file)!r}, record='again')"
        )
        self.file = file
        self.request = request


class RecordingUnreadable(AgenticError, ValueError):
    """A file of recorded answers is none, or is damaged."""

    def __init__(self, file: Path, error: Exception) -> None:
        super().__init__(
            f"The recording {str(file)!r} cannot be read: {error}. Record it anew: delete the file, or "
            f"recorded_model({str(file)!r}, record='again')"
        )
        self.file = file


@contextmanager
def recorded_model(file: str | Path, *, record: Record | None = None) -> Generator[Any, None, None]:
    """Answer the requests to providers in this block from *file*; gives the cassette of vcrpy.

    *record* is ``once``: requests are made and written where there is no file yet (the default);
    ``never``: none is made (the default where the environment variable ``CI`` is set); ``again``: all
    are made, and the file is written anew. Requests are told apart by method, address and body. Keys in
    headers, addresses and bodies are masked in the file. A request that is not in it raises
    `NotRecorded` out of the agent. Raises `RecordingUnreadable` for a damaged file, and `MissingExtra` without vcrpy (extra ``testing``).

    It holds for the whole process while the block lasts, as vcrpy does.
    """
    path = Path(file)
    mode = record or ("never" if os.environ.get("CI") else "once")
    if mode not in get_args(Record):
        raise ValueError(
            f"record={record!r} is not one of {', '.join(get_args(Record))}. "
            f"Form that works: recorded_model({str(path)!r}, record='once')"
        )
    try:
        vcr: Any = importlib.import_module("vcr")
    except ImportError as error:
        raise MissingExtra("recorded_model", "testing") from error
    if mode == "again":
        path.unlink(missing_ok=True)
    recorder: Any = vcr.VCR(
        record_mode="none" if mode == "never" else "once",
        match_on=["method", "scheme", "host", "port", "path", "query", "body"],
        filter_headers=[(name, MASK) for name in _SECRET_HEADERS],
        filter_query_parameters=[(name, MASK) for name in _SECRET_PARAMETERS],
        before_record_request=_masked_request,
        before_record_response=_masked_response,
    )
    # A client is not made without a key, and a replay needs none.
    replays = mode == "never" or path.exists()
    missing = [name for name in _KEY_VARIABLES if replays and name not in os.environ]
    os.environ.update(dict.fromkeys(missing, MASK))
    with ExitStack() as stack:
        for name in missing:
            stack.callback(os.environ.pop, name, None)
        try:
            cassette = stack.enter_context(recorder.use_cassette(str(path)))
        except Exception as error:
            raise RecordingUnreadable(path, error) from error
        stack.callback(set_interposed, set_interposed(lambda agent: _telling(path)))
        yield cassette


def _masked_request(request: Any) -> Any:
    body: Any = request.body
    if isinstance(body, (bytes, str)):
        request.body = _masked(body if isinstance(body, bytes) else body.encode())
    return request


def _masked_response(response: Any) -> Any:
    headers: dict[str, Any] = response.get("headers", {})
    for name in list(headers):
        if name.lower() in _SECRET_HEADERS:
            headers[name] = [MASK]
    body: Any = response.get("body", {}).get("string")
    if isinstance(body, bytes):
        response["body"]["string"] = _masked(body)
    return response


def _masked(body: bytes) -> bytes:
    return _KEY.sub(MASK.encode(), body)


def _telling(path: Path) -> AbstractCapability[Any]:
    from pydantic_ai.capabilities import AbstractCapability

    class Telling(AbstractCapability[Any]):
        """Says of a request that failed why it did, where the recording had no answer."""

        async def wrap_model_request(
            self, ctx: Any, *, request_context: Any, handler: Callable[[Any], Awaitable[Any]]
        ) -> Any:
            try:
                return await handler(request_context)
            except Exception as error:
                for cause in causes_of(error):
                    if type(cause).__name__ == "CannotOverwriteExistingCassetteException":
                        request: Any = getattr(cause, "failed_request", None)
                        asked = f"{request.method} {request.uri}" if request else "a request"
                        raise NotRecorded(path, asked) from error
                raise

    return Telling()
