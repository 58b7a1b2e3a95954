"""The script behind the readme's two commands."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "dev.py").exists(), reason="the tests run outside a checkout"
)


@pytest.fixture
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev_script", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_group_includes_the_groups_that_it_names(dev: ModuleType) -> None:
    requirements = " ".join(dev.group("dev"))
    assert "pytest" in requirements
    assert "ruff" in requirements
    assert "{" not in requirements


def test_the_extras_it_installs_exist(dev: ModuleType) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(dev.TEST_EXTRAS) <= set(project["optional-dependencies"])
    assert dev.version_of("xllamacpp").startswith(">=")


def test_an_installation_is_out_of_date_when_a_module_comes_or_goes(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "setup.py"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "actors").mkdir()
    module = tmp_path / "actors" / "a.py"
    module.write_text("1", encoding="utf-8")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    before = dev.fingerprint()
    module.write_text("2", encoding="utf-8")
    assert dev.fingerprint() == before
    (tmp_path / "actors" / "b.py").write_text("3", encoding="utf-8")
    assert dev.fingerprint() != before


def test_an_unknown_task_is_shown_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), "tset"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "dev.py test" in done.stderr
