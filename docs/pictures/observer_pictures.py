"""Makes the pictures of the observer anew, in Debian's chromium.

    python docs/pictures/observer_demo.py 4551 --nodes &
    python docs/pictures/observer_pictures.py http://127.0.0.1:4551 FOLDER [VIEW ...]
    python docs/pictures/observer_pictures.py http://127.0.0.1:4551

Without a folder those that stand in pages are written beside this file; with one, every view at three
sizes, light and dark, to be looked at. Each is taken after it has been live for some seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
from chromium import Browser, browser

HERE = Path(__file__).resolve().parent
SIZES = {"phone": (390, 844, 2.0), "laptop": (1366, 850, 1.0), "wall": (2560, 1300, 1.0)}
SHOWN = (
    ("overview", "laptop", "light"),
    ("run", "laptop", "dark"),
    ("tree", "laptop", "light"),
    ("tree", "phone", "dark"),
    ("actor", "laptop", "dark"),
)


def views(url: str) -> dict[str, str]:
    """Return what is to be seen, by name: one run and one actor among it."""
    waiting = {"name": "report", "state": "waiting"}
    runs = httpx.get(f"{url}/api/runs", params=waiting).json()["rows"]
    run = runs[0]["id"] if runs else ""
    busy = httpx.get(f"{url}/api/actors", params={"limit": 1, "q": "trials"}).json()["rows"]
    actor = busy[0]["pid"] if busy else 1
    return {
        "overview": "/", "tree": "/tree", "actors": "/actors", "actor": f"/actors/{actor}",
        "runs": "/runs", "run": f"/runs/{run}", "models": "/models", "events": "/events", "queues": "/queues",
        "letters": "/letters", "system": "/system", "search": "/search?q=t",
        "answer": f"/act?action=answer&target={run}&question=review/publish&back=/runs/{run}",
        "nothing": "/actors?q=nobody", "gone": "/actors/999999",
    }  # fmt: skip


def take(one: Browser, url: str, size: str, theme: str, picture: Path) -> None:
    """Take one picture, and say what the browser complains of."""
    one.show(url, SIZES[size], theme)
    if one.script("document.getElementById('live') !== null"):
        one.until("document.getElementById('link').dataset.state === 'on'")
        time.sleep(2.5)
    picture.write_bytes(one.picture())
    for said in one.complaints():
        print(f"{picture.name}: {said}")
    wide = one.script("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        print(f"{picture.name}: {wide} px too wide")


def main(url: str, folder: str = "", *wanted: str) -> None:
    """Take the pictures."""
    url = url.rstrip("/")
    with browser() as one:
        paths = views(url)
        if not folder:
            for view, size, theme in SHOWN:
                take(one, url + paths[view], size, theme, HERE / f"{view}-{size}-{theme}.png")
            return
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for view, path in paths.items():
            for size in SIZES:
                for theme in ("light", "dark"):
                    name = f"{view}-{size}-{theme}"
                    if not wanted or any(name.startswith(part) for part in wanted):
                        take(one, url + path, size, theme, out / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
