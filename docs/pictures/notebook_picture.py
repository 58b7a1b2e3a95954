"""Makes `notebook.png`: what a supervisor and a pattern show in a notebook, in Debian's chromium.

apt-get install chromium
pip install nbclient ipykernel nbconvert
python docs/pictures/notebook_picture.py
"""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CELLS = (
    """from agenticaiframework import *

supervisor = AgentSupervisor("desk")
supervisor.add_child("writer", Agent("writer", lambda text: text.title()))
supervisor.add_child("critic", Agent("critic", lambda text: 1 / 0))
await supervisor.start()
both = ParallelOrchestration("both", ["writer", "critic"])
both""",
    """report = await both.run("why rivers bend")
report""",
    "supervisor",
)
# The log's records of the crash are not what the picture is about.
QUIET = "from loguru import logger; logger.remove()"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--hide-scrollbars", "--window-size=900,980"),
)


def main() -> None:
    nbformat: Any = importlib.import_module("nbformat")
    client: Any = importlib.import_module("nbclient")
    nbconvert: Any = importlib.import_module("nbconvert")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in (QUIET, *CELLS)]
    client.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    del notebook.cells[0]
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    target = Path(__file__).with_name("notebook.png")
    with TemporaryDirectory() as folder:
        file = Path(folder, "page.html")
        file.write_text(page, encoding="utf-8")
        subprocess.run(
            [
                "chromium",
                *FLAGS,
                f"--user-data-dir={folder}/profile",
                "--virtual-time-budget=5000",
                f"--screenshot={target}",
                file.as_uri(),
            ],
            check=True,
            timeout=120,
        )


if __name__ == "__main__":
    main()
