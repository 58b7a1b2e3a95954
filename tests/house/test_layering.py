"""Imports go down the layers only: actors <- supervision <- patterns <- the package itself."""

from __future__ import annotations

import pytest
from library_files import (
    LAYERS,
    NAME,
    Module,
    imports,
    layer_of,
    library,
    package_root,
    planted,
)

ORDER = (*LAYERS, NAME)


def violations(module: Module) -> list[str]:
    layer = module.layer
    found: list[str] = []
    for used in imports(module):
        where = f"{module.name}:{used.line}"
        target = used.target
        if target.split(".")[0] in (*LAYERS, "api"):
            found.append(f"{where} imports {target}, which is {NAME}.{target}")
        if target.split(".")[0] != NAME:
            continue
        if target == NAME and used.member is not None:
            if used.relative and layer in LAYERS:
                found.append(f"{where} leaves its layer by a relative import")
                continue
            # `from agenticaiframework import patterns` names the layer in the second part.
            target = f"{NAME}.{used.member}"
        goal = layer_of(target)
        if ORDER.index(goal) > ORDER.index(layer):
            found.append(f"{where} ({layer}) imports {target} ({goal}): upward")
        if used.relative and goal != layer:
            found.append(f"{where} crosses to {goal} by a relative import: write it out")
    return found


@pytest.mark.parametrize("module", library().values(), ids=lambda module: module.name[-60:])
def test_a_module_imports_nothing_from_a_layer_above(module: Module) -> None:
    found = violations(module)
    assert not found, "\n".join(found)


def test_all_layers_are_seen() -> None:
    assert {module.layer for module in library().values()} == {*LAYERS, NAME}


def test_every_folder_with_modules_is_a_package() -> None:
    packages = {module.package for module in library().values()}
    bare = sorted(packages - {name for name, module in library().items() if module.is_package})
    assert not bare, f"no __init__.py, so they would be missing from the wheel: {bare}"
    assert (package_root() / "__init__.py").exists()


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("actors__x", "from agenticaiframework.supervision import tree"),
        ("actors__x", "from agenticaiframework import Agent"),
        ("actors__x", "from agenticaiframework import patterns"),
        ("actors__x", "import agenticaiframework.patterns.engine"),
        ("actors__x", "from ..supervision import tree"),
        ("patterns__engine__x", "from ...actors import Actor"),
        ("supervision__x", "import actors"),
        ("supervision__x", "from patterns.engine import x"),
        (
            "supervision__x",
            "if TYPE_CHECKING:\n    from agenticaiframework.patterns import Team",
        ),
    ],
)
def test_the_check_catches(where: str, source: str) -> None:
    (module,) = planted(**{where: source}).values()
    assert violations(module)


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("patterns__engine__x", "from agenticaiframework.actors import Actor"),
        ("patterns__engine__x", "from ..expressions import parse"),
        ("cli__x", "from agenticaiframework.patterns import Engine"),
        ("models__x", "from .names import y\nimport json"),
    ],
)
def test_the_check_allows(where: str, source: str) -> None:
    (module,) = planted(**{where: source}).values()
    assert not violations(module)
