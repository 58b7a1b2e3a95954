"""The copy of the checkout in which bugs are planted, so that the original is never changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("actors", "supervision", "patterns")

# Imported by every Python that runs on the copy; the coverage map sets the variable.
SITECUSTOMIZE = """\
import os
if os.environ.get("COVERAGE_PROCESS_START"):
    import coverage
    coverage.process_startup()
"""


class Checkout:
    """A copy of the files of the checkout below *work*, and the package made of it."""

    def __init__(self, work: Path) -> None:
        self.work = work.resolve()
        self.root = self.work / "checkout"
        self.path = self.work / "path"

    def make(self) -> None:
        """Copy what git knows and what is new, as it stands on the disk."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                self.take(name)
        package = self.path / "agenticaiframework"
        package.mkdir(parents=True)
        for layer in LAYERS:
            (package / layer).symlink_to(self.root / layer)
        for entry in (self.root / "api").iterdir():
            (package / entry.name).symlink_to(entry)
        (self.path / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")

    def take(self, name: str) -> None:
        """Copy one file anew."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)

    def environment(self) -> dict[str, str]:
        """Return the environment in which the copy, and not the installed package, is imported."""
        return {**os.environ, "PYTHONPATH": str(self.path), "HYPOTHESIS_PROFILE": "ci"}

    def commit(self) -> str:
        """Return what git says about the state that was copied."""
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
        )
        return told.stdout.strip()
