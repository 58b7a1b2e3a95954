"""The imports of the library as a picture of a house, before and after its walls were built.

    python tests/house/draw.py [COMMIT]      writes docs/house.svg, prints the table beside it

Each layer is a building, each package in it a floor, each file a dot. Grey arcs on the right are
imports that go down; red arcs on the left go up. Files that reach each other stand in a red ring.
The graph is grimp's; the list of dependencies for linting brings that along.
"""

from __future__ import annotations

import functools
import io
import math
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import grimp
from library_files import NAME, ROOT, Library, Module, circles, read_library
from rooms import PUBLISHED, ROOMS
from test_private_names import trespasses

BEFORE = "0f93514"
OUT = ROOT / "docs" / "house.svg"

# Top to bottom, as they stand on each other; the engine is large enough for a building of its own.
BUILDINGS = ("", "patterns.engine", "patterns", "supervision", "actors")
TITLES = {
    "": "agenticaiframework: what users import",
    "patterns.engine": "patterns.engine: durable workflows",
    "patterns": "patterns: coordination by messages",
    "supervision": "supervision: OTP's supervisors",
    "actors": "actors: the runtime",
}

WIDTH, GAP, MARGIN = 560, 36, 18
LEFT, RIGHT = 74, 96  # room for the arcs on both sides of the floors
DOT, ROW = 11.5, 13.0
LABEL = 104

INK, QUIET, LINE = "#1e293b", "#64748b", "#cbd5e1"
WALL, FLOOR, GREY, RED = "#f1f5f9", "#ffffff", "#64748b", "#dc2626"


@dataclass
class Floor:
    """A package, or files of a layer that stand together."""

    name: str
    files: list[str] = field(default_factory=list)
    y: float = 0.0
    height: float = 0.0


@dataclass
class House:
    """One state of the library: its imports, and what they make of its files."""

    title: str
    modules: Library
    graph: dict[str, set[str]]
    with_rooms: bool

    @functools.cached_property
    def rings(self) -> list[list[str]]:
        return sorted(circles(self.graph), key=len, reverse=True)

    @property
    def reaching_in(self) -> int:
        """The imports from one layer of what another does not publish."""
        return sum(
            self.modules[a].layer != self.modules[b].layer and b not in PUBLISHED
            for a, goals in self.graph.items()
            for b in goals
        )

    def floors(self, building: str) -> list[Floor]:
        """Return the floors of a building, the highest first."""
        floors: dict[str, Floor] = {}
        for module in sorted(self.modules):
            if building_of(module) == building and (name := self._room(module, building)):
                floors.setdefault(name, Floor(name)).files.append(module)
        counted = {
            (a, b): self._count(floors[a].files, floors[b].files)
            for a in floors
            for b in floors
            if a != b
        }
        # A floor stands above those that it imports more often than they import it.
        left, order = set(floors), []
        while left:
            top = min(
                left,
                key=lambda a: (
                    sum(counted[b, a] > counted[a, b] for b in left if b != a),
                    sum(counted[b, a] for b in left if b != a),
                    a,
                ),
            )
            left.remove(top)
            order.append(floors[top])
        return order

    def _room(self, module: str, building: str) -> str | None:
        prefix = f"{NAME}.{building}" if building else NAME
        rest = module.removeprefix(prefix).lstrip(".")
        if not rest:
            return None  # the building's own `__init__`, which only re-exports
        room = rest.partition(".")[0]
        if self.modules.get(f"{prefix}.{room}", self.modules[module]).is_package:
            return room
        if self.with_rooms:
            for together in ROOMS.get(building, ()):
                if room in together:
                    return " ".join(together)
        return "files in no package" if building else room

    def _count(self, above: Sequence[str], below: Sequence[str]) -> int:
        return sum(b in self.graph[a] for a in above for b in below)

    def arcs(self, floors: Sequence[Floor]) -> Counter[tuple[int, int]]:
        """Count the imports between the floors, by the number of each in the building."""
        where = {file: number for number, floor in enumerate(floors) for file in floor.files}
        return Counter(
            (where[a], where[b])
            for a in where
            for b in self.graph[a]
            if b in where and where[a] != where[b]
        )


def building_of(module: str) -> str:
    rest = module.removeprefix(NAME).lstrip(".")
    return next((b for b in BUILDINGS if b and (rest == b or rest.startswith(f"{b}."))), "")


# --- reading ---------------------------------------------------------------------------------------


def read(commit: str | None, title: str) -> House:
    """Read the library as it was at *commit*, or as it stands in this checkout."""
    layers = ("actors", "supervision", "patterns", "api")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        # Without a commit the checkout's own files, as git knows them.
        tree = commit or _git("stash", "create").decode().strip() or "HEAD"
        with tarfile.open(fileobj=io.BytesIO(_git("archive", tree, *layers))) as archive:
            archive.extractall(place, filter="data")
        package = place / "api"
        for layer in layers[:-1]:
            (place / layer).rename(package / layer)
        package.rename(place / NAME)
        sys.path.insert(0, str(place))
        try:
            graph = grimp.build_graph(NAME, cache_dir=None)
        finally:
            sys.path.remove(str(place))
        modules = read_library(place / NAME)
        found = {m: set(graph.find_modules_directly_imported_by(m)) for m in modules}
    return House(title, modules, found, with_rooms=commit is None)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


# --- drawing ---------------------------------------------------------------------------------------


class Sheet:
    """An SVG as it grows downwards."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, fill: str, radius: int = 4) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}" '
            f'fill="{fill}" stroke="{LINE}"/>'
        )

    def text(self, x: float, y: float, words: str, size: int = 11, **more: str) -> None:
        extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
        fill = "" if "fill" in more else f' fill="{INK}"'
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{fill}{extra}>{escape(words)}</text>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}"/>')

    def line(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        self.parts.append(
            f'<path d="M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" stroke="{RED}" '
            'stroke-width="0.7" stroke-opacity="0.45"/>'
        )

    def arc(self, x: float, start: float, end: float, count: int, *, up: bool) -> None:
        """Draw an arrow along the side of a building, as thick as it has imports."""
        reach = (-1 if up else 1) * (14 + 0.28 * abs(end - start))
        reach = max(-LEFT * 1.25, min(RIGHT * 1.25, reach))
        colour, marker = (RED, "red") if up else (GREY, "grey")
        self.parts.append(
            f'<path d="M{x:.1f} {start:.1f}C{x + reach:.1f} {start:.1f} {x + reach:.1f} {end:.1f} '
            f'{x:.1f} {end:.1f}" fill="none" stroke="{colour}" stroke-opacity="0.75" '
            f'stroke-width="{0.8 + 0.5 * math.log2(count):.2f}" marker-end="url(#{marker})"/>'
        )

    def svg(self, width: float, height: float, title: str) -> str:
        markers = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
            for name, colour in (("grey", GREY), ("red", RED))
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif">'
            f"<title>{escape(title)}</title><defs>{markers}</defs>"
            f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(self.parts)}</svg>\n'
        )


def radius_of(ring: Sequence[str]) -> float:
    return max(9.0, len(ring) * DOT / (2 * math.pi))


def draw_floor(sheet: Sheet, house: House, floor: Floor, x: float, y: float, width: float) -> float:
    """Draw a floor whose top is at *y*, and return its height."""
    inside = set(floor.files)
    rings = [[f for f in ring if f in inside] for ring in house.rings]
    rings = [ring for ring in rings if ring]
    plain = [f for f in floor.files if not any(f in ring for ring in rings)]
    room = width - LABEL - 12
    columns = max(1, int(room // DOT))
    rows = math.ceil(len(plain) / columns)
    tall = 2 * radius_of(rings[0]) + 16 if rings else 0.0
    names = textwrap.wrap(floor.name, 17)
    height = max(tall + rows * ROW, len(names) * ROW) + 9
    sheet.box(x, y, width, height, FLOOR)
    for number, words in enumerate(names):
        sheet.text(x + 8, y + 15 + number * ROW, words)
    at: dict[str, tuple[float, float]] = {}
    left = x + LABEL + 6
    for ring in rings:
        radius = radius_of(ring)
        for number, file in enumerate(ring):
            angle = 2 * math.pi * number / len(ring)
            at[file] = (
                left + radius + radius * math.cos(angle),
                y + 8 + tall / 2 - 4 + radius * math.sin(angle),
            )
        left += 2 * radius + 16
        for a in ring:
            for b in house.graph[a]:
                if b in at and b in ring and a in at:
                    sheet.line(at[a], at[b])
    for file in at:
        sheet.dot(*at[file], RED)
    for number, _ in enumerate(plain):
        down, along = divmod(number, columns)
        sheet.dot(x + LABEL + 6 + along * DOT, y + tall + 11 + down * ROW, "#94a3b8")
    floor.y, floor.height = y, height
    return height


def draw_house(sheet: Sheet, house: House, x: float, y: float) -> float:
    """Draw one state of the library, and return the height at which it ends."""
    many = sum(map(len, house.rings))
    sheet.text(x, y, house.title, 17, font_weight="600")
    y += 20
    in_rings = f"{many} of its files reach each other, in {len(house.rings)} circles"
    verdict = in_rings if house.rings else "no file reaches itself"
    past = f"{house.reaching_in} imports reach past a layer's door" if house.reaching_in else ""
    said = f"{len(house.modules)} files; " + "; ".join(filter(None, (verdict, past)))
    sheet.text(x, y, said, 12, fill=RED if house.rings else QUIET)
    y += 14
    for building in BUILDINGS:
        floors = house.floors(building)
        inner = WIDTH - LEFT - RIGHT
        top = y
        wall = len(sheet.parts)
        y += 24
        for floor in floors:
            y += draw_floor(sheet, house, floor, x + LEFT, y, inner) + 6
        y += 4
        sheet.box(x, top, WIDTH, y - top, WALL, 8)
        sheet.parts.insert(wall, sheet.parts.pop())
        sheet.text(x + 12, top + 16, TITLES[building], 12, font_weight="600")
        for (a, b), count in sorted(house.arcs(floors).items()):
            start, end = (f.y + min(f.height / 2, 40) for f in (floors[a], floors[b]))
            shift = 5 if a < b else -5
            side = x + LEFT + (inner if a < b else 0)
            sheet.arc(side, start + shift, end - shift, count, up=a > b)
        y += 14
    return y


def file(module: Module) -> str:
    return module.name


def main(arguments: Sequence[str]) -> None:
    before = read(arguments[0] if arguments else BEFORE, "Before")
    after = read(None, "After")
    sheet = Sheet()
    height = max(
        draw_house(sheet, before, MARGIN, MARGIN + 18),
        draw_house(sheet, after, MARGIN + WIDTH + GAP, MARGIN + 18),
    )
    legend = (
        "A dot is a file, a white floor a package. Red rings: files that reach each other. "
        "Grey, on the right: imports that go down. Red, on the left: imports that go up."
    )
    sheet.text(MARGIN, height + 10, legend, 12, fill=QUIET)
    height += 26
    OUT.write_text(
        sheet.svg(2 * (WIDTH + MARGIN) + GAP, height, "Imports, before and after"), "utf-8"
    )
    print(f"| | {before.title} | {after.title} |\n| --- | --- | --- |")
    for what, value in {
        "files": lambda house: len(house.modules),
        "circles of imports": lambda house: len(house.rings),
        "files in circles": lambda house: sum(map(len, house.rings)),
        "files in the largest": lambda house: max(map(len, house.rings), default=0),
        "private names used outside their file": lambda house: len(trespasses(house.modules, file)),
        "private names used outside their package": lambda house: len(trespasses(house.modules)),
        "imports of what another layer does not publish": lambda house: house.reaching_in,
    }.items():
        print(f"| {what} | {value(before)} | {value(after)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
