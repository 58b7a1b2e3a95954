"""The packages of each layer stand in an order, and every import goes down it."""

from __future__ import annotations

import pytest
from library_files import NAME, Library, arrows, imports, layer_of, library, planted, short
from rooms import PUBLISHED, ROOMS, room_of


def upward(modules: Library) -> list[str]:
    """Return the imports that go up in the order of the rooms, or into no room that it knows."""
    said: list[str] = []
    graph = arrows(modules)
    for holder, order in ROOMS.items():
        level = {room: number for number, rooms in enumerate(order) for room in rooms}
        for module, goals in graph.items():
            here = room_of(module, holder)
            if here is None:
                continue
            if here not in level:
                said.append(f"{short(module)} stands in no room of ROOMS[{holder!r}]")
                continue
            for goal, line in goals.items():
                there = room_of(goal, holder)
                if holder and goal == f"{NAME}.{holder}":
                    said.append(f"{short(module)}:{line} imports the package that it stands in")
                elif there is not None and level.get(there, -1) > level[here]:
                    said.append(f"{short(module)}:{line} imports {short(goal)}, a room above it")
    return said


def trespasses(modules: Library) -> list[str]:
    """Return the imports from another layer of what that layer does not export."""
    said: list[str] = []
    for module in modules.values():
        for used in imports(module):
            if used.target.partition(".")[0] != NAME:
                continue
            # `from agenticaiframework.actors import simulation` is the published module itself.
            if f"{used.target}.{used.member}" in PUBLISHED or layer_of(used.target) == module.layer:
                continue
            goal = modules.get(used.target)
            if used.target not in PUBLISHED:
                said.append(f"{short(module.name)}:{used.line} reaches into {short(used.target)}")
            elif goal and used.member is not None and used.member not in goal.exported:
                said.append(
                    f"{short(module.name)}:{used.line} imports {used.member}, "
                    f"which {short(goal.name)} does not export"
                )
    return said


def test_an_import_goes_down_the_rooms() -> None:
    said = upward(library())
    assert not said, "\n".join(said)


def test_a_layer_uses_of_another_what_that_exports() -> None:
    said = trespasses(library())
    assert not said, "\n".join(said)


def test_every_room_of_the_table_is_there() -> None:
    for holder, order in ROOMS.items():
        rooms = {room_of(module, holder) for module in library()}
        gone = [room for together in order for room in together if room not in rooms]
        assert not gone, f"ROOMS[{holder!r}] names what is gone: {gone}"


@pytest.mark.parametrize(
    ("where", "source", "said"),
    [
        (
            "actors__kernel__x",
            "from ..ref import y",
            "actors.kernel.x:1 imports actors.ref, a room",
        ),
        (
            "actors__kernel__x",
            "if TYPE_CHECKING:\n    from ..system.system import y",
            "actors.kernel.x:2 imports actors.system.system, a room above it",
        ),
        (
            "actors__system__x",
            "def f():\n    from ..agents import agent",
            "actors.system.x:2 imports actors.agents.agent, a room above it",
        ),
        ("actors__kernel__x", "from .. import y", "imports the package that it stands in"),
        (
            "patterns__engine__state__x",
            "from ..host import y",
            "imports patterns.engine.host, a room",
        ),
        ("actors__cellar__x", "", "actors.cellar.x stands in no room of ROOMS['actors']"),
    ],
)
def test_an_import_that_goes_up_is_found(where: str, source: str, said: str) -> None:
    modules = planted(
        **{where: source},
        actors__init="from .ref import y",
        actors__ref="y = 1",
        actors__system__system="y = 1",
        actors__agents__agent="y = 1",
        patterns__engine__host__init="",
    )
    (found,) = upward(modules)
    assert said in found


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("actors__system__x", "from ..kernel.cell import y\nfrom ..ref import y"),
        ("actors__kernel__x", "from .cell import y\nfrom ..errors import y\nimport json"),
        ("actors__ref", "from .kernel.cell import y"),
    ],
)
def test_an_import_that_goes_down_is_allowed(where: str, source: str) -> None:
    modules = planted(
        **{"actors__ref": "", where: source}, actors__kernel__cell="", actors__errors=""
    )
    assert not upward(modules)


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("patterns__x", "from agenticaiframework.actors.kernel.cell import Cell"),
        ("patterns__x", "from agenticaiframework.actors import near_miss"),
        ("supervision__x", "import agenticaiframework.actors.ref"),
        ("cli__x", "def f():\n    from agenticaiframework.patterns.kinds.loop import Loop"),
    ],
)
def test_what_is_not_exported_is_found_where_another_layer_uses_it(where: str, source: str) -> None:
    assert trespasses(planted(**{where: source}, actors__init="__all__ = ['near']"))


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("patterns__x", "from agenticaiframework.actors import near"),
        ("patterns__x", "from .kinds.loop import Loop"),
        ("actors__x", "from .kernel.cell import Cell"),
        ("testing__x", "from agenticaiframework.actors import simulation"),
        ("testing__x", "from .machine import x\nfrom agenticaiframework.testing.y import z"),
    ],
)
def test_what_is_exported_may_be_used(where: str, source: str) -> None:
    assert not trespasses(planted(**{where: source}, actors__init="__all__ = ['near']"))
