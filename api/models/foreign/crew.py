"""A crew of CrewAI as a handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from agenticaiframework.actors import Usage

from .spending import whole


class CrewHandler:
    """Lets a crew work on each payload: a mapping of its inputs, or the one input ``input``."""

    def __init__(self, name: str, crew: Any) -> None:
        self.name = name
        self.crew = crew

    async def __call__(self, payload: Any) -> Any:
        inputs = {"input": payload}
        if isinstance(payload, Mapping):
            inputs = dict(cast("Mapping[str, Any]", payload))
        result: Any = await self.crew.kickoff_async(inputs=inputs)
        for form in ("pydantic", "json_dict"):
            output = getattr(result, form, None)
            if output is not None:
                break
        else:
            output = getattr(result, "raw", result)
        said: Any = getattr(result, "token_usage", None)
        return whole(
            output,
            Usage(
                requests=getattr(said, "successful_requests", 0) or 0,
                input_tokens=getattr(said, "prompt_tokens", 0) or 0,
                output_tokens=getattr(said, "completion_tokens", 0) or 0,
                cache_read_tokens=getattr(said, "cached_prompt_tokens", 0) or 0,
            ),
        )
