"""Finds what is wrong in a built site: links and anchors that lead nowhere, and what comes from elsewhere."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose address the browser fetches while it shows the page.
LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src"}
LOADING_RELS = {"stylesheet", "icon", "preload", "preconnect", "modulepreload", "manifest"}
# A reference to a name that has no entry stays as it was written.
_UNRESOLVED = re.compile(r"\]\[(agenticaiframework[\w.]*)\]")
_CSS_URL = re.compile(r"""(?:url\(|@import\s+(?!url))\s*["']?([^"')\s;]+)""")


class Page(HTMLParser):
    """The ids, classes, links and loaded addresses of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.ids |= {values[key] for key in ("id", "name") if key in values}
        self.classes.update(values.get("class", "").split())
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADED and LOADED[tag] in values:
            self.loaded.append(values[LOADED[tag]])
        if tag == "link" and LOADING_RELS & set(values.get("rel", "").split()):
            self.loaded.append(values["href"])


def entries(site: Path) -> set[str]:
    """Return the names that have an entry in the reference, from the inventory for other sites' links."""
    _head, _, packed = (site / "objects.inv").read_bytes().partition(b"using zlib")
    lines = zlib.decompress(packed.partition(b"\n")[2]).decode().splitlines()
    return {line.split(" ")[0] for line in lines}


@cache
def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def problems(site: Path) -> list[str]:
    """Return a line for each thing that is wrong in the folder *site*."""
    read.cache_clear()
    found: list[str] = []
    for path in sorted(site.rglob("*.html")):
        name, page = path.relative_to(site), read(path)
        found += [f"{name}: loads {each} from outside the site" for each in elsewhere(page.loaded)]
        if "mermaid" in page.classes:
            found.append(f"{name}: has a chart that a script from outside would draw")
        if path.name == "404.html":  # served at any address, so its links are from the root
            continue
        found += [
            f"{name}: {each} has no entry in the reference"
            for each in sorted(set(_UNRESOLVED.findall(path.read_text("utf-8"))))
        ]
        told = {address: broken(path, address) for address in (*page.links, *page.loaded)}
        found += [f"{name}: {address}: {why}" for address, why in told.items() if why]
    for path in sorted(site.rglob("*.css")):
        name, loaded = path.relative_to(site), _CSS_URL.findall(path.read_text("utf-8"))
        found += [f"{name}: loads {each} from outside the site" for each in elsewhere(loaded)]
    return found


def elsewhere(addresses: Iterable[str]) -> list[str]:
    """Return those of *addresses* that do not stand in the site."""
    return [address for address in addresses if urlsplit(address).netloc]


def broken(path: Path, address: str) -> str:
    """Say why the link *address* of the page *path* leads nowhere; an empty text if it leads somewhere."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in read(target).ids:
        return "there is no such heading"
    return ""
