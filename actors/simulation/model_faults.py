"""Faults of the model behind an agent, and of its tools: what providers do on bad days.

A fault names the agent by its name (`*` and `?` match as in file names) and one of its requests to
the model, counted from 1 over the whole run; with ``agent="*"`` the requests of all agents are counted
together. A request that pydantic-ai makes for one ask, such as the one after a tool's answer, counts.

What they do when their moment comes is in the testing kit (`agenticaiframework.testing`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .armed import matches
from .fault_model import Count, FaultModel, Seconds


class ModelFault(FaultModel):
    """A fault of one agent's requests to its model: the n-th, and *times* - 1 more."""

    agent: str = "*"
    at_request: Count = 1
    times: Count = 1

    def means(self, agent: str) -> bool:
        """Tell whether the requests of *agent* count."""
        return matches(self.agent, agent)


class RateLimit(ModelFault):
    """The provider refuses the request with 429, and asks to wait *retry_after_s*, if that is given."""

    kind: Literal["rate_limit"] = "rate_limit"
    retry_after_s: Seconds | None = None
    example: ClassVar[str] = "RateLimit(agent='writer', at_request=2, retry_after_s=5)"


class ServerError(ModelFault):
    """The provider fails with *status*."""

    kind: Literal["server_error"] = "server_error"
    status: Annotated[int, Field(ge=400, le=599)] = 500
    example: ClassVar[str] = "ServerError(agent='writer', at_request=2, times=3)"


class DropConnection(ModelFault):
    """The provider cannot be reached, or is gone before its answer."""

    kind: Literal["drop_connection"] = "drop_connection"
    example: ClassVar[str] = "DropConnection(agent='writer', at_request=2)"


class SlowModel(ModelFault):
    """The answer comes *delay_s* late."""

    kind: Literal["slow_model"] = "slow_model"
    delay_s: Seconds = 30.0
    example: ClassVar[str] = "SlowModel(agent='writer', at_request=2, delay_s=30)"


class HangModel(ModelFault):
    """The answer never comes; the wait for it can be cancelled."""

    kind: Literal["hang_model"] = "hang_model"
    example: ClassVar[str] = "HangModel(agent='writer', at_request=2)"


class SlowStream(ModelFault):
    """Each part of a streamed answer comes *delay_s* after the one before."""

    kind: Literal["slow_stream"] = "slow_stream"
    delay_s: Seconds = 5.0
    example: ClassVar[str] = "SlowStream(agent='writer', at_request=2, delay_s=5)"


class CutStream(ModelFault):
    """The connection is gone after *after* parts of the answer; of a whole one before its end."""

    kind: Literal["cut_stream"] = "cut_stream"
    after: Annotated[int, Field(ge=0)] = 1
    example: ClassVar[str] = "CutStream(agent='writer', at_request=2, after=3)"


class WrongAnswer(ModelFault):
    """The model says *text* in the place of its answer: no JSON, or none that fits."""

    kind: Literal["wrong_answer"] = "wrong_answer"
    text: str = '{"unfinished": ['
    example: ClassVar[str] = "WrongAnswer(agent='writer', at_request=2, text='{')"


class Refusal(ModelFault):
    """The model refuses: it says *text* in the place of its answer; with none its provider's filter does."""

    kind: Literal["refusal"] = "refusal"
    text: str = "I cannot help with that."
    example: ClassVar[str] = "Refusal(agent='writer', at_request=2)"


class HangTool(FaultModel):
    """A tool of the agent never returns, at its n-th call and *times* - 1 more; it can be cancelled."""

    kind: Literal["hang_tool"] = "hang_tool"
    agent: str = "*"
    tool: str = "*"
    at_call: Count = 1
    times: Count = 1

    def means(self, agent: str, tool: str) -> bool:
        """Tell whether the calls of *tool* by *agent* count."""
        return matches(self.agent, agent) and matches(self.tool, tool)

    example: ClassVar[str] = "HangTool(agent='writer', tool='search', at_call=2)"
