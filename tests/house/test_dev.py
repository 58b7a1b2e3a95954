"""The script behind the readme's two commands."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
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


@pytest.mark.parametrize("rest", [["tests/actors"], ["-k", "ask"], ["-n0"], ["-q", "-n", "4"]])
def test_named_tests_run_in_one_process(dev: ModuleType, rest: list[str]) -> None:
    assert dev.workers(rest) == ()


@pytest.mark.parametrize("rest", [[], ["-q"], ["-x", "--durations=9"]])
def test_all_tests_run_in_several_processes(dev: ModuleType, rest: list[str]) -> None:
    flag, count, *_ = dev.workers(rest)
    assert flag == "-n"
    assert int(count) >= 2


def test_an_unknown_task_is_shown_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), "tset"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "dev.py test" in done.stderr


SLOW = "#!/bin/sh\necho Collecting a-package; echo at work >&2\nexec sleep 60\n"
BROKEN = "#!/bin/sh\necho Collecting a-package; echo ERROR: no such package >&2\nexit 3\n"

posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


class Script:
    """dev.py with a stand-in for the environment's Python, which is all that it starts."""

    def __init__(self, dev: ModuleType, folder: Path) -> None:
        self._dev = dev
        self._folder = folder
        (folder / "bin").mkdir()
        (folder / "pyvenv.cfg").touch()
        (folder / ".pip-inside").touch()

    def stand_in(self, text: str) -> None:
        python = self._folder / "bin" / "python"
        python.write_text(text, encoding="utf-8")
        python.chmod(0o755)

    def installed(self) -> None:
        self._dev.VENV = self._folder
        self._dev.PYTHON = self._folder / "bin" / "python"
        self._dev.take_stock(self._folder / ".installed-test")

    def start(self, program: str = "") -> subprocess.Popen[str]:
        """`dev.py test` in a process group of its own, which a terminal interrupts as one."""
        runs = f"import sys, dev; {program}sys.exit(dev.main(['test']))"
        return subprocess.Popen(
            [sys.executable, "-c", runs],
            cwd=ROOT,
            env={**os.environ, "AGENTICAI_VENV": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def script(dev: ModuleType, tmp_path: Path) -> Script:
    return Script(dev, tmp_path)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Interrupt the process group once it says that it is at work; return the rest of its errors."""
    assert process.stderr is not None
    assert any("a-package" in line or "at work" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)[1]


@posix
def test_an_interrupt_while_it_installs_ends_it_in_order(script: Script) -> None:
    script.stand_in(SLOW)
    process = script.start("dev.Progress.EVERY_S = 0; ")
    said = interrupt(process)
    assert process.returncode == 130
    assert said.endswith("Interrupted.\n")
    assert "Traceback" not in said


@posix
def test_an_interrupt_goes_to_what_it_runs(script: Script) -> None:
    script.stand_in(SLOW)
    script.installed()
    process = script.start()
    assert not interrupt(process)
    assert process.returncode == -signal.SIGINT  # how `sleep` ends


@posix
def test_an_installation_that_fails_says_why(script: Script) -> None:
    script.stand_in(BROKEN)
    out, said = script.start().communicate(timeout=60)
    assert "ERROR: no such package" in said
    assert not out


@posix
def test_progress_in_a_pipe_is_plain_lines_and_leaves_the_output_clean(script: Script) -> None:
    script.stand_in("#!/bin/sh\n[ $2 = pytest ] && echo 1 passed || echo Collecting a-package\n")
    out, said = script.start("dev.Progress.EVERY_S = 0; ").communicate(timeout=60)
    assert out == "1 passed\n"
    assert "\x1b" not in said
    assert said.splitlines()[-1].endswith("done")


def test_progress_shows_what_matters_in_a_line_of_pip(dev: ModuleType) -> None:
    asked = "Collecting rich>=13 (from agenticai-actors==0.1.0)\n"
    assert dev.shortened(asked) == "Collecting rich>=13"
    assert dev.shortened("Installing collected packages: a, b, c\n") == "Installing 3 packages"


# -- an environment of which a part is gone ------------------------------------------------------


@pytest.fixture
def environment(dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the packages' folder of an environment with two packages, as pip leaves them."""
    venv = tmp_path / "env"
    monkeypatch.setattr(dev, "VENV", venv)
    monkeypatch.setattr(dev, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(dev, "SITE_PACKAGES", "lib/python*/site-packages")
    site = venv / "lib" / "python3.99" / "site-packages"
    for name in ("sums", "texts"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("1\n", encoding="utf-8")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        lines = (f"{name}/__init__.py,sha256=x,2", f"{name}/__pycache__/__init__.pyc,,")
        (info / "RECORD").write_text("\n".join(lines), encoding="utf-8")
    return site


def test_what_was_installed_is_not_installed_again(dev: ModuleType, environment: Path) -> None:
    stamp = dev.VENV / ".installed-test"
    assert not dev.is_installed(stamp)
    dev.take_stock(stamp)
    assert dev.is_installed(stamp)


@pytest.mark.parametrize("left", ["nothing", "no file", "an empty file", "no record"])
def test_a_package_of_which_a_part_is_gone_is_named_and_installed_again(
    dev: ModuleType, environment: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    stamp = dev.VENV / ".installed-test"
    dev.take_stock(stamp)
    if left == "nothing":
        shutil.rmtree(environment / "texts")
        shutil.rmtree(environment / "texts-1.0.dist-info")
    elif left == "no file":
        (environment / "texts" / "__init__.py").unlink()
    elif left == "an empty file":
        (environment / "texts" / "__init__.py").write_text("", encoding="utf-8")
    else:
        (environment / "texts-1.0.dist-info" / "RECORD").unlink()
    assert not dev.is_installed(stamp)
    assert "Files of texts are gone" in capsys.readouterr().err
    # pip goes by the folder with the package's data; without it the package is installed anew.
    assert dev.Installed.now().forget_broken() == ([] if left == "nothing" else ["texts"])
    assert not (environment / "texts-1.0.dist-info").exists()
    assert (environment / "sums-1.0.dist-info").exists()


def test_an_editable_installation_without_its_links_is_made_again(
    dev: ModuleType, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links" / "agenticaiframework"
    links.mkdir(parents=True)
    (links / "__init__.py").touch()
    monkeypatch.setattr(dev, "modules", lambda: ["api/__init__.py"])
    (environment / "__editable__.sums-1.0.pth").write_text(f"{links.parent}\n", encoding="utf-8")
    stamp = dev.VENV / ".installed-test"
    dev.take_stock(stamp)
    assert dev.is_installed(stamp)
    shutil.rmtree(links)
    assert not dev.is_installed(stamp)


def test_another_place_or_another_python_is_another_installation(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = dev.fingerprint()
    monkeypatch.setattr(dev, "PYTHON", tmp_path / "python3.99")
    assert dev.fingerprint() != before


def test_a_half_made_environment_is_made_anew_and_a_folder_of_others_is_left_alone(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(dev, "run_quietly", lambda _progress, *command: asked.append(command) or 0)
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "PYTHON", tmp_path / "bin" / "python")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit, match="is not a virtual environment"):
        dev.make_environment()
    assert not asked
    (tmp_path / "pyvenv.cfg").touch()  # its Python is gone
    dev.make_environment()
    assert "--clear" in asked[0]
    assert asked[0][-1] == tmp_path
