"""What gets installed: one name at the top of site-packages, typed, with every sub-package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from agenticaiframework.actors.errors import DISTRIBUTION

ROOT = Path(__file__).parents[2]
LAYERS = {"api": "", "actors": "actors/", "supervision": "supervision/", "patterns": "patterns/"}

in_a_checkout = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the tests run outside a checkout"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, copy / layer, ignore=shutil.ignore_patterns("__pycache__"))
    left = copy / "build" / "lib" / "agenticaiframework" / "gone.py"  # by an earlier build
    left.parent.mkdir(parents=True)
    left.touch()
    program = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@in_a_checkout
def test_the_wheel_has_one_name_at_its_top(wheel: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == {"agenticaiframework"}


@in_a_checkout
def test_the_wheel_is_typed(wheel: list[str]) -> None:
    assert "agenticaiframework/py.typed" in wheel


@in_a_checkout
def test_the_wheel_has_every_module_of_every_layer(wheel: list[str]) -> None:
    wanted = {
        f"agenticaiframework/{prefix}{path.relative_to(ROOT / layer).as_posix()}"
        for layer, prefix in LAYERS.items()
        for path in (ROOT / layer).rglob("*.py")
    }
    assert {name for name in wheel if name.endswith(".py")} == wanted


@in_a_checkout
def test_the_wheel_has_all_that_the_observer_shows_and_its_licences(wheel: list[str]) -> None:
    folder = ROOT / "api" / "observer"
    files = [path for part in ("static", "templates") for path in (folder / part).rglob("*.*")]
    wanted = {
        f"agenticaiframework/observer/{path.relative_to(folder).as_posix()}" for path in files
    }
    assert wanted <= set(wheel)
    assert {name for name in wanted if name.endswith("LICENSE.txt")}


def installed() -> metadata.Distribution:
    """The installed distribution, not the egg-info that a build leaves in a checkout."""
    for found in metadata.distributions(name=DISTRIBUTION):
        if any(file.parts[0].endswith(".dist-info") for file in found.files or []):
            return found
    pytest.skip("agenticaiframework is imported from a folder, without an installation")


def test_the_installed_distribution_owns_one_name() -> None:
    top = {file.parts[0] for file in installed().files or [] if file.parts[0] != ".."}
    if any(name.startswith("__editable__") for name in top):
        pytest.skip("an editable installation only points to the checkout")
    assert {name for name in top if not name.endswith(".dist-info")} == {"agenticaiframework"}


@in_a_checkout
def test_the_distribution_has_the_name_that_the_hints_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == DISTRIBUTION


def test_the_distribution_needs_three_packages() -> None:
    core = [named(r) for r in installed().requires or [] if "extra ==" not in r]
    assert sorted(core) == ["loguru", "pydantic", "pykka"]


@in_a_checkout
def test_the_project_names_three_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert sorted(map(named, project["dependencies"])) == ["loguru", "pydantic", "pykka"]


def named(requirement: str) -> str:
    """Return the package that a requirement is for."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def test_pytest_finds_the_plugin_of_the_testing_kit_by_itself() -> None:
    # Under its module's name: naming it in a conftest, or after `-p`, loads it no second time.
    (plugin,) = installed().entry_points.select(group="pytest11")
    assert plugin.name == plugin.value == "agenticaiframework.testing.pytest_plugin"
