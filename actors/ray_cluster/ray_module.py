"""Ray, imported when it is first needed, and checked."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from typing import Any, Final

from ..cluster.errors import ClusterError
from ..errors import MissingExtra

OLDEST: Final = (2, 40)
BELOW: Final = 3


class WrongVersion(ClusterError):
    """A version of Ray, Python or this library does not fit, here or on another node."""


def load_ray() -> Any:
    """Return the module `ray`. Raises `MissingExtra`, and `WrongVersion` for one that was never tried."""
    try:
        import ray  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingExtra("A cluster over Ray", "ray") from error
    found = version("ray")
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if not numbers >= OLDEST or numbers[0] >= BELOW:
        raise WrongVersion(
            f"Ray {found} is installed, and a cluster needs Ray from {OLDEST[0]}.{OLDEST[1]}, below "
            f"{BELOW}: pip install 'ray>={OLDEST[0]}.{OLDEST[1]},<{BELOW}'"
        )
    return ray


def versions() -> dict[str, str]:
    """Return the versions that have to be the same on all nodes."""
    return {
        "Ray": version("ray"),
        "Python": ".".join(map(str, sys.version_info[:2])),
        "agenticai-actors": _own_version(),
    }


def _own_version() -> str:
    try:
        return version("agenticai-actors")
    except Exception:
        return "unknown"  # it runs out of its sources


def check_versions(node: str, theirs: dict[str, str]) -> None:
    """Raise `WrongVersion` if those of *node* differ from those here."""
    differing = [
        f"{what} {theirs.get(what)} there and {here} here"
        for what, here in versions().items()
        if theirs.get(what) != here
    ]
    if differing:
        raise WrongVersion(
            f"Node {node} cannot join the cluster: {'; '.join(differing)}. "
            "Install the same versions on every machine."
        )


__all__ = ["WrongVersion", "check_versions", "load_ray", "versions"]
