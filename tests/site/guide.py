"""Runs a guide as its reader would: from top to bottom, in an empty folder, which is the current one.

``python guide.py PAGE`` fails where the page does not do what it says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from running import run_page
from shown_blocks import read_blocks
from walking import Walk

if __name__ == "__main__":
    sys.path.insert(0, "")  # the files of the page can be imported
    with Walk(Path.cwd()) as walk:
        run_page(read_blocks(Path(sys.argv[1])), walk, all_shown=True)
