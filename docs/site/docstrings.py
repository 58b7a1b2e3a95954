"""Makes the docstrings of the library Markdown, as griffe reads them: an extension of mkdocstrings.

They are written to be read where they stand: names in single backticks, a ``::`` before a block of code,
``name: text`` for parameters.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Docstring, Extension, Object
from public import homes

_CODE = re.compile(r"(?<![`\w])`(?P<name>[A-Z]\w*|[a-z]\w*_\w+)`(?!`)")
_BLOCK = re.compile(r"^(?P<before>.*?)(?P<space> ?)::$", re.MULTILINE)

_PARAMETERS = re.compile(r"(?<=\n\n)(?:[a-z_]+: .*\n?(?: .*\n?)*)+", re.MULTILINE)
_PARAMETER = re.compile(r"^([a-z_]+): ", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites each docstring once it has been read."""

    def __init__(self) -> None:
        self._homes = homes()

    def on_instance(self, *, obj: Object, **_more: Any) -> None:
        """Rewrite the docstring of *obj*."""
        if obj.docstring is not None:
            self._rewrite(obj.docstring, obj.name)

    def _rewrite(self, docstring: Docstring, own: str) -> None:
        text = _BLOCK.sub(lambda f: f["before"] + (":" if f["before"] else ""), docstring.value)
        text = _PARAMETERS.sub(lambda f: _PARAMETER.sub(r"- *\1*: ", f[0]), text)
        docstring.value = _CODE.sub(lambda found: self._link(found, own), text)

    def _link(self, found: re.Match[str], own: str) -> str:
        home = self._homes.get(found["name"])
        if home is None or found["name"] == own:
            return found[0]
        return f"[{found[0]}][{home}.{found['name']}]"
