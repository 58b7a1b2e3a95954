"""The bugs that can be planted in a file, and a random choice among them."""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from .operators import OPERATORS
from .places import Place, Places


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: the *occurrence*-th place of *file* where *operator* changes something."""

    file: str
    operator: str
    occurrence: int
    line: int
    place: Place
    fingerprint: str

    @property
    def key(self) -> str:
        """The name under which the verdict is kept; it changes with the text of the file."""
        return f"{self.file}:{self.line}:{self.operator}:{self.occurrence}:{self.fingerprint}"

    @property
    def package(self) -> str:
        """The folder of the file."""
        return str(Path(self.file).parent)


def mutants(root: Path, file: str) -> Iterator[Mutant]:
    """Yield every bug that can be planted in *file*."""
    source = (root / file).read_text(encoding="utf-8")
    fingerprint = hashlib.sha256(source.encode()).hexdigest()[:8]
    places = Places(source)
    tree = get_ast(source)
    for name, kind in OPERATORS.items():
        operator = kind()
        positions = (
            start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)
        )
        for occurrence, start in enumerate(positions):
            if not places.is_skipped(start):
                place = places.at(start)
                yield Mutant(file, name, occurrence, start[0], place, fingerprint)


@functools.lru_cache(maxsize=2)
def planted(root: Path, mutant: Mutant) -> str | None:
    """Return the text of the file with the bug in it, or None where nothing would change."""
    source = (root / mutant.file).read_text(encoding="utf-8")
    try:
        changed = mutate_code(source, OPERATORS[mutant.operator](), mutant.occurrence)
        if changed is None or _bytecode(changed) == _bytecode(source):
            return None
    except (SyntaxError, ValueError):
        return None
    return changed


def change(source: str, changed: str) -> tuple[str, str]:
    """Return the changed lines before and after, each as one line."""
    old: list[str] = []
    new: list[str] = []
    for line in difflib.ndiff(source.splitlines(), changed.splitlines()):
        if line.startswith("- "):
            old.append(line[2:].strip())
        elif line.startswith("+ "):
            new.append(line[2:].strip())
    return " ".join(old), " ".join(new)


def diff(file: str, source: str, changed: str) -> str:
    """Return the change as a patch."""
    lines = difflib.unified_diff(
        source.splitlines(), changed.splitlines(), f"a/{file}", f"b/{file}", lineterm="", n=2
    )
    return "\n".join(lines)


def files_in(root: Path, folders: list[str]) -> list[str]:
    """Return the library's files in *folders*; a folder stands also for those in it."""
    found: list[str] = []
    for folder in folders:
        path = root / folder
        if not path.exists():
            raise SystemExit(f"{folder} is neither a file nor a folder of the checkout")
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        found.extend(str(file.relative_to(root)) for file in files)
    return [file for file in dict.fromkeys(found) if "__pycache__" not in file]


def sample(root: Path, files: list[str], count: int, seed: int) -> Iterator[Mutant]:
    """Yield *count* bugs at random, at most one a line; a larger sample begins with a smaller one."""
    chance = random.Random(seed)
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for file in files:
        for mutant in mutants(root, file):
            by_line.setdefault((file, mutant.line), []).append(mutant)
    lines = sorted(by_line)
    chance.shuffle(lines)
    chosen = 0
    for line in lines:
        candidates = by_line[line]
        chance.shuffle(candidates)
        for mutant in candidates:
            if planted(root, mutant) is not None:
                chosen += 1
                yield mutant
                break
        if chosen >= count:
            return


@functools.lru_cache(maxsize=8)
def _bytecode(source: str) -> str:
    """Return what the source means, without positions."""
    return ast.dump(ast.parse(source))
