"""Makes hostile texts and values from a source of randomness."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

ODD_TEXTS: Sequence[str] = (
    *(
        "",
        " ",
        "\t",
        "\n",
        "\0",
        "\x1b[31m",
        "\x9b",
        "\ud800",
        "\u202e",
        "é",
        "日本",
        "😀",
        "\ufeff",
    ),
    *(
        "null",
        "true",
        "NaN",
        "1e999",
        "-0",
        "0x10",
        "1_000",
        "9" * 400,
        "9" * 5_000,
        "1:00:00",
        "~",
    ),
    *("$", "$input", "$input.x", "$a.b.c", "$$", "${a}", "$item", "$input[0]", "$input['x']"),
    *("{{", "}}", "[[", "&a", "*a", "<<", "!!python/object:os.system", "- ", ": ", "#", "|", ">"),
    *(
        "__class__",
        "__import__('os')",
        "().__class__",
        "eval(1)",
        "lambda: 0",
        "a.b()",
        "x if y else z",
    ),
    *(
        "../../etc/passwd",
        "C:\\",
        "file:///",
        "'",
        '"',
        "\\",
        "`",
        ";",
        "--",
        "/*",
        "<script>",
        "&amp;",
    ),
    *("[/INST]", "[link=x]", "```json\n{}\n```", "```", '{"a":1}', "%s%n", "{0}", "\\u0000"),
)
KEYS: Sequence[str] = (
    *(
        "name",
        "steps",
        "id",
        "agent",
        "input",
        "output",
        "condition",
        "for_each",
        "depends_on",
        "until",
    ),
    *(
        "workflow",
        "pattern",
        "team",
        "agents",
        "retry",
        "timeout_seconds",
        "on_error",
        "compensate",
    ),
    *("wait_for", "signal", "delay", "max_iterations", "input_model", "labels", "handler", "model"),
    *(
        "event",
        "emit",
        "trigger",
        "data",
        "done",
        "approved",
        "role",
        "action",
        "previous",
        "roles",
    ),
    *("supervisors", "children", "strategy", "restart_policy", "engine", "packages", "config"),
)
OPERATORS: Sequence[str] = (
    *(
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "in",
        "not in",
        "and",
        "or",
        "not",
        "is",
        "+",
        "-",
        "*",
        "**",
    ),
    *("(", ")", "[", "]", "{", "}", ".", ",", ":", "=", "&&", "||", "!", "?", "%", "@"),
)


class Hostile:
    """Draws from one source, so that an input can be made again from its seed."""

    def __init__(self, source: random.Random) -> None:
        self.source = source

    def one_of(self, *makers: Callable[[], Any]) -> Any:
        return self.source.choice(makers)()

    def text(self, longest: int = 6) -> str:
        """Return odd pieces, put together."""
        pieces = [
            self.source.choice(self.source.choice((ODD_TEXTS, KEYS, OPERATORS)))
            for _ in range(self.source.randrange(longest))
        ]
        return self.source.choice(("", " ", "", "\n")).join(pieces)

    def scalar(self) -> Any:
        return self.source.choice(
            (
                *(None, True, False, 0, -1, 3, 1 << 70, 0.5, float("nan"), float("inf"), 10**400),
                *(self.text(3), self.source.choice(KEYS), b"\x00\xff", object()),
            )
        )

    def value(self, depth: int = 4) -> Any:
        """Return a nest of mappings, lists and scalars."""
        kind = self.source.randrange(6)
        if depth <= 0 or kind < 2:
            return self.scalar()
        size = self.source.randrange(4)
        if kind < 4:
            return {self.key(): self.value(depth - 1) for _ in range(size)}
        return [self.value(depth - 1) for _ in range(size)]

    def key(self) -> Any:
        return self.source.choice(KEYS) if self.source.randrange(5) else self.text(2)

    def expression(self, longest: int = 8) -> str:
        """Return operators and operands, mostly where they belong."""
        parts: list[str] = []
        for _ in range(self.source.randrange(1, longest)):
            parts.append(
                self.source.choice(
                    (
                        "input.x",
                        "$a.b",
                        "'x'",
                        "1",
                        "-2.5",
                        "true",
                        "none",
                        "[1, 2]",
                        "(",
                        ")",
                        "not",
                    )
                )
            )
            parts.append(self.source.choice(OPERATORS))
        if self.source.randrange(20) == 0:
            parts = [self.source.choice("([{!-")] * self.source.randrange(1, 5_000)
        if self.source.randrange(4) == 0:
            parts.append(self.text())
        return " ".join(parts)

    def step(self) -> dict[str, Any]:
        step: dict[str, Any] = {"id": self.source.choice(("a", "b", "c")), "agent": "x"}
        for _ in range(self.source.randrange(4)):
            step[self.key()] = self.one_of(self.value, self.expression, self.text, self.steps)
        return step

    def steps(self) -> Any:
        return [self.step() for _ in range(self.source.randrange(1, 4))]

    def workflow(self) -> Any:
        """Return a definition that has something wrong with it, often."""
        made: dict[str, Any] = {"name": "w", "steps": self.steps()}
        for _ in range(self.source.randrange(3)):
            made[self.key()] = self.value(3)
        if self.source.randrange(30) == 0:
            made["output"] = [made]
        if self.source.randrange(30) == 0:
            for _ in range(self.source.randrange(300)):
                made = {"name": "w", "steps": [{"id": "s", "workflow": made}]}
        return made

    def document(self, value: Any) -> str:
        """Return *value* as JSON or nearly, with some of it damaged."""
        try:
            text = json.dumps(value, default=str)
        except (ValueError, RecursionError):
            text = self.text(40)
        for _ in range(self.source.randrange(3)):
            at = self.source.randrange(len(text) + 1)
            text = text[:at] + self.text(3) + text[at + self.source.randrange(4) :]
        if self.source.randrange(3) == 0:
            text = text.replace("{", self.source.choice(("{", "\n- ", "&a {", "*a ")))
        return text
