"""The verdicts, one JSON object a line, and the survivors that change nothing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SURVIVORS = Path(__file__).with_name("survivors.toml")


class Verdicts:
    """A file of verdicts; the last one about a bug counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                verdict = json.loads(line)
                self.found[verdict["key"]] = verdict

    def add(self, verdict: dict[str, Any]) -> None:
        """Write one down at once: a run may be broken off and taken up again."""
        self.found[verdict["key"]] = verdict
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(verdict) + "\n")

    def survivors(self) -> list[dict[str, Any]]:
        """Return the verdicts on what nothing has noticed."""
        return [v for v in self.found.values() if v["verdict"] == "survived"]


@dataclass(frozen=True, slots=True)
class Explained:
    """The bugs that were looked at and change nothing, with the reason."""

    reasons: dict[tuple[str, str, str], str]

    @classmethod
    def load(cls, path: Path = SURVIVORS) -> Explained:
        """Read the file of survivors."""
        if not path.exists():
            return cls({})
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
        return cls({(e["function"], e["old"], e["new"]): e["why"] for e in entries})

    def why(self, verdict: dict[str, Any]) -> str | None:
        """Return why a survivor changes nothing, or None where nobody has said so."""
        return self.reasons.get((verdict["function"], verdict["old"], verdict["new"]))


def report(verdicts: Iterable[dict[str, Any]], explained: Explained) -> Iterator[str]:
    """Yield the lines of a table by package, and the survivors without a reason."""
    packages: dict[str, list[dict[str, Any]]] = {}
    for verdict in verdicts:
        packages.setdefault(str(Path(verdict["file"]).parent), []).append(verdict)
    yield f"{'package':<28}{'planted':>8}{'seen':>6}{'explained':>11}{'unseen':>8}{'seen of the rest':>18}"
    rows = [(name, found) for name, found in sorted(packages.items())]
    rows.append(("all", [verdict for _, found in rows for verdict in found]))
    for name, found in rows:
        seen = sum(v["verdict"] == "seen" for v in found)
        harmless = sum(v["verdict"] != "seen" and explained.why(v) is not None for v in found)
        counted = len(found) - harmless
        share = f"{seen / counted:.1%}" if counted else "-"
        yield f"{name:<28}{len(found):>8}{seen:>6}{harmless:>11}{counted - seen:>8}{share:>18}"
    for _, found in rows[:-1]:
        for v in found:
            if v["verdict"] != "seen" and explained.why(v) is None:
                yield ""
                yield f"{v['file']}:{v['line']} {v['function']} ({v['operator']}, {v['tests']} tests)"
                yield v["diff"]
