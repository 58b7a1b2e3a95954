"""Says when the package of another project lies under, or over, this one.

On the package index the import name belongs to another distribution. Installed into one environment,
the files of whichever came last lie over the other's, and nothing says so.
"""

from __future__ import annotations

import sys
import warnings
from importlib import metadata
from typing import Final

from .errors import DISTRIBUTION, AgenticError

PACKAGE: Final = "agenticaiframework"
MARK: Final = "__distribution__"
"""What the package's own `__init__` has, and the other project's has not."""


class ForeignPackage(AgenticError, ImportError):
    """The package that is imported is not this library's: another project's lies over it."""


class TwoDistributions(UserWarning):
    """Another project's package of the same name is installed here too, and its files lie under these."""


def check_package(*, warn: bool = True) -> None:
    """Raise `ForeignPackage` if another project's package is what is imported; warn if it lies under this.

    A look at the metadata of what is installed: half a millisecond, once.
    """
    ours = hasattr(sys.modules.get(PACKAGE), MARK)
    if ours and not warn:
        return
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        if ours:
            return
        version = ""
    what = f"another project's distribution, {PACKAGE} {version}".rstrip()
    way_out = (
        f"Take both out, since they share files, and put this one in again: "
        f"pip uninstall {PACKAGE} {DISTRIBUTION}, and then install {DISTRIBUTION}."
    )
    if not ours:
        raise ForeignPackage(
            f"`import {PACKAGE}` does not give this library ({DISTRIBUTION}): {what}, has the same "
            f"import name, and its files lie over these. {way_out}"
        )
    warnings.warn(
        f"Beside this library ({DISTRIBUTION}), {what}, is installed; both are imported as {PACKAGE}, and "
        f"what is left of its files is mixed with these. {way_out}",
        TwoDistributions,
        stacklevel=3,
    )
