"""An actor runtime for AI agents: supervised agents, orchestration patterns, durable workflows.

The top layer: what most users import, the model providers, the command line and the testing kit.
It may know every layer below, by what that exports. It keeps no state of its own; its import
connects model agents to `agenticaiframework.models`.
"""

from __future__ import annotations

from agenticaiframework.actors import (
    Agent,
    ModelRunner,
    RequestRejected,
    set_model_runner_factory,
)

__all__ = ["Agent", "RequestRejected", "__version__"]

__version__ = "0.1.0"


def _model_runner(model: object) -> ModelRunner:
    # Imported by the first model agent that is asked, because most programs' start should not pay.
    from .models.providers import model_runner

    return model_runner(model)


set_model_runner_factory(_model_runner)
