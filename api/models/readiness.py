"""Whether a model can be asked at all: found out before any agent runs."""

from __future__ import annotations

import importlib.util

from agenticaiframework.actors import AgenticError, MissingExtra

from .names import read_model_name
from .weights import check_local_model


class ModelNotReady(AgenticError):
    """A hosted model cannot be asked: its key is missing, or pydantic-ai does not know its name."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(
            f"The model {model!r} cannot be asked: {why} "
            "Without network and key there are 'local' and 'scripted' (--model scripted)."
        )
        self.model = model
        self.why = why


def check_model(model: str) -> None:
    """Raise what would fail on the first request to *model*, as far as this machine can tell.

    `UnknownModel`, `MissingExtra`, `LocalModelUnavailable` or `ModelNotReady`. Nothing is sent and
    nothing is loaded, but pydantic-ai is imported for a hosted model, which takes a second.
    """
    name = read_model_name(model)
    if name.provider == "scripted":
        return
    if name.provider == "local":
        check_local_model(name.name)
    if importlib.util.find_spec("pydantic_ai") is None:
        raise MissingExtra(f"The model {model!r}", "llm")
    if name.provider == "local":
        return
    from pydantic_ai.models import infer_model

    try:
        infer_model(name.name)
    except ImportError as error:
        raise ModelNotReady(model, f"{str(error).rstrip('.')}.") from error
    except Exception as error:
        raise ModelNotReady(model, f"{str(error).split(chr(10), 1)[0].rstrip('.')}.") from error
