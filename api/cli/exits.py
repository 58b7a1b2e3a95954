"""The exit code of a command whose work failed; the others are where they are decided."""

from __future__ import annotations

from typing import Final

EXIT_FAILED: Final = 1
