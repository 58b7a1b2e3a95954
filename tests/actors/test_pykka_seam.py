"""What is used of pykka beyond its public names is there, in one file; its registry is only used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pykka
import pytest
from pykka import messages

import agenticaiframework.actors as actors
from agenticaiframework.actors import Actor, ActorRef, ActorSystem
from agenticaiframework.actors.kernel import pykka_seam

LIBRARY = Path(actors.__file__).parent
SEAM = LIBRARY / "kernel" / "pykka_seam.py"

PRIVATE_NAMES = {
    pykka.Actor: (
        "_actor_loop_teardown",
        "_create_actor_inbox",
        "_create_future",
        "_handle_failure",
        "_handle_receive",
        "_start_actor_loop",
    ),
    pykka.ActorRegistry: ("_actor_refs", "_actor_refs_lock"),
    messages: ("_ActorStop",),
}
ON_INSTANCES = ("_actor_weakref", "_condition", "_get_hook", "_result")


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def test_the_installed_pykka_is_one_that_the_dependency_admits() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.exists():
        pytest.skip("the tests run without the project's file")
    bounds = re.search(r'"pykka>=([\d.]+),<([\d.]+)"', project.read_text("utf-8"))
    assert bounds is not None, "pykka has a lower and an upper bound"
    lowest, beyond = map(version_of, bounds.groups())
    assert lowest <= version_of(metadata.version("pykka")) < beyond


@pytest.mark.parametrize("owner", PRIVATE_NAMES, ids=lambda owner: owner.__name__)
def test_the_private_names_are_there(owner: object) -> None:
    for name in PRIVATE_NAMES[owner]:  # type: ignore[index]
        assert hasattr(owner, name), name


def test_the_private_names_of_instances_are_there() -> None:
    class Plain(pykka.ThreadingActor):
        """An actor that knows nothing of this library."""

    future = pykka.ThreadingFuture[int]()
    ref = Plain.start()
    try:
        assert ref._actor_weakref() is not None
    finally:
        ref.stop()
    assert future._result is None
    assert future._get_hook is None
    assert hasattr(future, "_condition")


def test_no_other_file_of_the_library_uses_a_private_name_of_pykka() -> None:
    private = {*ON_INSTANCES, *(name for names in PRIVATE_NAMES.values() for name in names)}
    ours = {"_result"}  # a slot of our requests too
    for path in LIBRARY.rglob("*.py"):
        if path == SEAM:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else None
            assert name not in private - ours, f"{path}: {name}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pykka"):
                assert not (node.module or "").startswith("pykka._"), path
                assert not any(alias.name.startswith("_") for alias in node.names), path


PROGRAM = """
import sys
import pykka

def registry():
    return {
        "list": id(pykka.ActorRegistry._actor_refs),
        "kind": type(pykka.ActorRegistry._actor_refs),
        "lock": id(pykka.ActorRegistry._actor_refs_lock),
        "own names": {
            name: id(value) for name, value in vars(pykka.ActorRegistry).items()
        },
        "actor": {name: id(value) for name, value in vars(pykka.Actor).items()},
        "ref": {name: id(value) for name, value in vars(pykka.ActorRef).items()},
        "future": {name: id(value) for name, value in vars(pykka.ThreadingFuture).items()},
    }

class Plain(pykka.ThreadingActor):
    def on_receive(self, message):
        return message

before = registry()
first = Plain.start()
if sys.argv[1] == "with":
    from agenticaiframework.actors import Actor, ActorSystem

    system = ActorSystem.in_background()
    assert registry() == before, "making a system has changed pykka"
    ours = [system.start(Actor) for _ in range(3)]
    assert registry() == before, "starting actors has changed pykka"
    assert pykka.ActorRegistry.get_all() == [first, *ours]
    assert system.stop_blocking(5).clean
second = Plain.start()
assert registry() == before
print(pykka.ActorRegistry.get_all() == [first, second])
print(pykka.ActorRegistry.get_by_class_name("Plain") == [first, second])
print(pykka.ActorRegistry.get_by_urn(second.actor_urn) is second)
pykka.ActorRegistry.broadcast("to all")
print(first.ask("hello"), first.stop(), first.is_alive())
print(pykka.ActorRegistry.get_all() == [second])
print(pykka.ActorRegistry.stop_all())
print(pykka.ActorRegistry._actor_refs)
"""


@pytest.mark.parametrize("system", ["with", "without"])
def test_a_program_that_uses_pykka_alone_is_the_same_with_a_system_and_without(system: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), system],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.split("\n") == [
        "True",
        "True",
        "True",
        "hello True False",
        "True",
        "[True]",
        "[]",
        "",
    ]


def test_actors_leave_the_registry_in_whichever_order_they_end() -> None:
    with ActorSystem.in_background() as system:
        before = pykka.ActorRegistry.get_all()
        refs: list[ActorRef[Actor]] = [system.start(Actor) for _ in range(20)]
        left = list(refs)
        for number in (19, 0, 7, 13, 1, 18, 10):
            refs[number].stop(timeout=20)
            left.remove(refs[number])
            assert pykka.ActorRegistry.get_all() == [*before, *left]
        assert pykka.ActorRegistry.get_by_urn(left[3].actor_urn) is left[3]
    assert pykka.ActorRegistry.get_all() == before


def test_a_ref_is_found_among_plain_ones_and_when_the_order_is_not_that_of_the_numbers() -> None:
    class Numbered:
        def __init__(self, pid: int) -> None:
            self.pid = pid

    class Plain:
        """A ref without a number."""

    registry = pykka.ActorRegistry._actor_refs
    plain, one, two, three = Plain(), Numbered(10**9), Numbered(10**9 + 1), Numbered(10**9 + 2)
    before = list(registry)
    try:
        for ref in (three, plain, one, plain, two):
            pykka_seam.enter_registry(ref)
        for ref in (one, three, two):
            pykka_seam.leave_registry(ref)
            assert ref not in registry
        pykka_seam.leave_registry(two)  # what is not there is not missed
        assert registry == [*before, plain, plain]  # type: ignore[comparison-overlap]
    finally:
        registry[:] = before
