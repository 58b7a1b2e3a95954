"""Makes the screenshots of the documentation site anew, in Debian's chromium.

    python3 dev.py docs
    python docs/pictures/site_pictures.py [FOLDER]

Without a folder the two that stand in pages are written beside this file; with one, every view at each size,
light and dark, to be looked at.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE.parents[1] / "build" / "site" / "html"

SIZES = {"phone": (390, 844), "desktop": (1366, 900)}
VIEWS = {
    "home": "index.html",
    "tutorial": "tutorial/3-supervision.html",
    "how-to": "how-to/index.html",
    "explanation": "supervision.html",
    "pattern": "patterns/loop.html",
    "options": "reference/options.html",
    "names": "reference/api/supervision.html",
    "glossary": "reference/glossary.html",
    "commands": "reference/commands.html",
    "gallery": "gallery.html",
}
SHOWN = {
    "site-desktop.png": ("tutorial", "desktop", "light"),
    "site-phone.png": ("home", "phone", "dark"),
}

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--hide-scrollbars", "--virtual-time-budget=4000"),
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve *folder* on the loopback interface."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def take(url: str, out: Path, size: str, theme: str) -> None:
    """Take a picture of *url* as a browser of that size and theme shows it."""
    width, height = SIZES[size]
    # 0 is what chromium calls a preference for dark, 1 one for light.
    wanted = f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = shutil.which("chromium") or "chromium"
        subprocess.run(
            [browser, *FLAGS, wanted, f"--user-data-dir={profile}", f"--window-size={width},{height}",
             f"--screenshot={out}", url],
            check=True,
            capture_output=True,
            timeout=120,
        )  # fmt: skip


def main(arguments: list[str]) -> None:
    with served(SITE) as url:
        if not arguments:
            for name, (view, size, theme) in SHOWN.items():
                take(f"{url}/{VIEWS[view]}", HERE / name, size, theme)
            return
        folder = Path(arguments[0])
        folder.mkdir(parents=True, exist_ok=True)
        for view, page in VIEWS.items():
            for size in SIZES:
                for theme in ("light", "dark"):
                    take(f"{url}/{page}", folder / f"{view}-{size}-{theme}.png", size, theme)


if __name__ == "__main__":
    main(sys.argv[1:])
