"""Model providers: what answers an agent that was made with ``model=``.

Knows of the layers below `agenticaiframework.actors`, the arithmetic of `patterns.resilience`, the engine's
stores for its sessions, and pydantic-ai once a model is asked. The state of a local model's child process is owned by
its `LocalServer`; the connections to hosted ones by the `Clients` of a system, their limits by its gates.
"""

from agenticaiframework.actors import (
    Guardrail,
    GuardrailTripped,
    GuardrailVerdict,
    Repair,
    Replace,
    Stop,
)

from .content.prompts import UnsendablePayload
from .content.unfit import UnfitAnswer
from .content.unreadable import UnreadableAnswer
from .content.unsendable import UnsendableRequest
from .local.server import close_local_models
from .local.weights import LocalModelUnavailable, check_local_model
from .providers.errors import ModelNotReady, ModelsFailed, ProviderLimitReached, ProviderUnavailable
from .providers.names import UnknownModel
from .providers.readiness import check_model
from .providers.settings import ProviderDefinitionError, set_provider
from .runs.runners import model_runner
from .scripted.script import Scripted, ScriptedRequest
from .sessions import History
from .tools import (
    AgentTool,
    McpServer,
    McpServerUnavailable,
    ToolCallFailed,
    ToolDefinitionError,
    ToolTimeout,
    UntellableResult,
    tool,
)

__all__ = [
    "AgentTool",
    "Guardrail",
    "GuardrailTripped",
    "GuardrailVerdict",
    "History",
    "LocalModelUnavailable",
    "McpServer",
    "McpServerUnavailable",
    "ModelNotReady",
    "ModelsFailed",
    "ProviderDefinitionError",
    "ProviderLimitReached",
    "ProviderUnavailable",
    "Repair",
    "Replace",
    "Scripted",
    "ScriptedRequest",
    "Stop",
    "ToolCallFailed",
    "ToolDefinitionError",
    "ToolTimeout",
    "UnfitAnswer",
    "UnknownModel",
    "UnreadableAnswer",
    "UnsendablePayload",
    "UnsendableRequest",
    "UntellableResult",
    "check_local_model",
    "check_model",
    "close_local_models",
    "model_runner",
    "set_provider",
    "tool",
]
