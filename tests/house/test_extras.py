"""A missing extra is answered with a command that adds it, however this library was installed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from agenticaiframework.actors import MissingExtra, install_command
from agenticaiframework.actors.errors import DISTRIBUTION

ROOT = Path(__file__).parents[2]

METADATA = f"""\
Metadata-Version: 2.4
Name: {DISTRIBUTION}
Version: 0.1
Requires-Dist: pykka>=4.3
Provides-Extra: yaml
Requires-Dist: pyyaml>=6; extra == "yaml"
Provides-Extra: cli
Requires-Dist: rich[jupyter]>=13; extra == "cli"
Requires-Dist: pyyaml>=6; extra == "cli"
Provides-Extra: cli-more
Requires-Dist: humanize; extra == "cli-more"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that declares three extras."""
    info = tmp_path / f"{DISTRIBUTION.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def requirements(command: str) -> str:
    return command.partition(" install ")[2]


@pytest.mark.usefixtures("installed")
def test_the_command_names_what_the_extra_needs_and_nothing_else() -> None:
    assert requirements(install_command("yaml")) == '"pyyaml>=6"'
    assert requirements(install_command("cli")) == '"rich[jupyter]>=13" "pyyaml>=6"'


@pytest.mark.usefixtures("installed")
def test_a_package_may_come_without_what_it_asks_for() -> None:
    command = install_command("yaml", without_dependencies="weights")
    first, _, second = command.partition(" && ")
    assert requirements(first) == '"pyyaml>=6"'
    assert requirements(second) == "--no-deps weights"


@pytest.mark.usefixtures("installed")
def test_the_error_says_for_what_which_extra_and_how() -> None:
    error = MissingExtra("Reading YAML", "yaml")
    assert str(error) == f"Reading YAML needs the extra 'yaml': {install_command('yaml')}"
    assert error.extra == "yaml"


@pytest.mark.parametrize(
    ("room", "extra"), [("access", "faces"), ("faces", "faces"), ("observer", "observer")]
)
def test_a_room_that_serves_http_says_which_extra_it_needs(room: str, extra: str) -> None:
    program = f"""
import sys
sys.modules["starlette"] = None
from agenticaiframework.actors import MissingExtra
try:
    import agenticaiframework.{room}
except MissingExtra as error:
    print(error.extra)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{extra}\n", "")


def test_an_environment_with_pip_is_installed_into_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").touch()
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert install_command("yaml").startswith("pip install ")


def test_without_pip_in_the_environment_one_outside_is_told_which_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    command = install_command("yaml")
    assert command.startswith(f"pip --python {shlex.quote(sys.executable)} install ")


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="outside a checkout")
def test_what_an_extra_needs_does_not_depend_on_the_platform() -> None:
    # A command for the shell could not say so.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extra, needed in project["optional-dependencies"].items():
        assert not [requirement for requirement in needed if ";" in requirement], extra


def requirements_of_the_project() -> list[Requirement]:
    """Return what the project and its extras need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(needed) for group in groups for needed in group]


BY_DATE = {"xllamacpp"}
"""Packages whose versions are dates: their first number says nothing of what has changed."""


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="outside a checkout")
def test_no_requirement_admits_a_major_version_that_was_never_tried() -> None:
    for requirement in requirements_of_the_project():
        if requirement.name in BY_DATE:
            continue
        bounds = [each for each in requirement.specifier if each.operator == "<"]
        assert len(bounds) == 1, f"{requirement}: it has no upper bound"
        try:
            here = Version(metadata.version(requirement.name))
        except metadata.PackageNotFoundError:
            continue
        assert here in requirement.specifier, f"{requirement}: {here} is installed"
        assert Version(bounds[0].version) == Version(f"{here.major + 1}"), (
            f"{requirement}: the tests run with {here}, so the bound is {here.major + 1}"
        )


@pytest.mark.skipif(not (ROOT / "constraints.txt").exists(), reason="outside a checkout")
def test_the_constraints_hold_every_requirement_with_a_hash_and_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    held = {}
    for entry in entries:
        requirement, _, rest = entry.partition("\\")
        assert "--hash=sha256:" in rest, requirement
        name, version = re.split("==", requirement.split(";")[0].strip(), maxsplit=1)
        held[canonicalize_name(name)] = Version(version)
    for requirement in requirements_of_the_project():
        name = canonicalize_name(requirement.name)
        assert name in held, f"{name} is not in constraints.txt: python3 dev.py lock"
        assert held[name] in requirement.specifier, f"{requirement}: {held[name]} is locked"
