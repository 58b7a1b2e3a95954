"""Model providers: what answers an agent that was made with ``model=``.

Knows of the layers below only `agenticaiframework.actors`, and pydantic-ai once a model is asked.
The state of a local model's child process is owned by its `LocalServer`; a hosted one has none.
"""

from .local import close_local_models
from .names import UnknownModel
from .providers import model_runner
from .readiness import ModelNotReady, check_model
from .weights import LocalModelUnavailable, check_local_model

__all__ = [
    "LocalModelUnavailable",
    "ModelNotReady",
    "UnknownModel",
    "check_local_model",
    "check_model",
    "close_local_models",
    "model_runner",
]
