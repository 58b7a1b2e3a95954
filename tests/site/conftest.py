"""The scripts of the documentation site, and what these tests share, are imported from where they stand."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"

for folder in (HERE, DOCS / "site", DOCS / "pictures"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
