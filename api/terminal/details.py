"""One thing, whole: an actor, a run, or an entry of a list, as it stands beside the list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .cells import doing_cell, plain, state_cell
from .figures import clock, count, lasting, share, since
from .nodes import losses_of, node_state, roles_of
from .palette import Palette, colour_of, mark_of

Answer = Mapping[str, Any]


def actor_shown(actor: Answer, palette: Palette) -> RenderableType:
    """Return everything that is known of one actor."""
    facts: list[tuple[str, Text | str | None]] = [
        ("State", state_cell(actor["state"], palette, of_actor=True)),
        ("Handles", doing_cell(actor, palette)),
        ("Mailbox", count(actor["mailbox"])),
        ("Handled", f"{actor['handled']:,}"),
        ("Incarnation", str(actor["incarnation"])),
        ("Class", actor["kind"]),
        ("Runs on", _runs_on(actor)),
        ("Under", actor["parent"]["name"] if actor.get("parent") else None),
        ("Traps exits", "yes" if actor.get("trap_exit") else None),
        ("Timers", str(actor["timers"]) if actor.get("timers") else None),
        ("Ended by", actor.get("exit_reason")),
    ]
    parts: list[RenderableType] = [
        _title(actor["name"], f"actor {actor['pid']}", palette),
        _facts(facts, palette),
    ]
    for name, title in (
        ("links", "Linked to"),
        ("monitors", "Monitors"),
        ("monitored_by", "Monitored by"),
    ):
        others: list[Answer] = actor.get(name) or []
        if others:
            total = actor.get(f"{name}_total", len(others))
            parts += [_heading(f"{title} ({total:,})", palette), _names(others, palette)]
    parts += _events(actor.get("events") or [], palette)
    return Group(*parts)


def run_shown(run: Answer, journal: Answer | None, width: int, palette: Palette) -> RenderableType:
    """Return one run, for *width* cells: where it stands, what it waits for, its steps, its trace, its journal."""
    now = time.time()
    usage: Answer = run.get("usage") or {}
    tokens = usage.get("total_tokens")
    facts: list[tuple[str, Text | str | None]] = [
        ("State", state_cell(run["state"], palette)),
        ("Progress", _progress(run["progress"], palette)),
        ("Began", f"{clock(run['created_at'])}, {since(run['created_at'], now)} ago"),
        ("Took", lasting(run["duration_s"]) if run.get("finished") else None),
        ("Engine", run.get("owner")),
        ("Queue", _place(run)),
        ("It waits", run.get("queue_reason")),
        ("Recovered", f"{run['recoveries']} times" if run.get("recoveries") else None),
        ("Part of", run.get("parent")),
        ("Labels", "  ".join(f"{k}={v}" for k, v in run["labels"].items()) or None),
        ("Tokens", count(tokens) if tokens else None),
        ("Why", run.get("reason")),
        ("Error", plain(run["error"], palette.bad) if run.get("error") else None),
    ]
    parts: list[RenderableType] = [
        _title(run["name"], run["id"], palette),
        _facts(facts, palette),
    ]
    for wait in run.get("waits") or ():
        parts += _wait(wait, palette, now)
    parts += [_heading("Steps", palette), _steps(run, palette, now)]
    if run.get("children"):
        parts += [_heading("Parts", palette), _parts(run["children"], palette)]
    if run.get("input"):
        parts += [_heading("Input", palette), Text(run["input"], palette.soft)]
    if run.get("spans"):
        parts += [_heading("Trace", palette), _spans(run["spans"], width, palette)]
    if journal and journal.get("rows"):
        parts += [_heading("Journal", palette), _journal(journal["rows"], palette)]
    return Group(*parts)


def item_shown(row: Answer, palette: Palette) -> RenderableType:
    """Return an event, a dead letter, a check, a node or a schedule, whole."""
    facts: list[tuple[str, Text | str | None]]
    parts: list[RenderableType]
    if row["item"] == "letter":
        facts = [("To", row["recipient"]), ("Message", row["message"]), ("At", clock(row["at"]))]
        parts = [_title("A dead letter", "", palette), _facts(facts, palette)]
        return Group(*parts, _heading("Why", palette), Text(row["reason"], palette.warn))
    if row["item"] == "check":
        facts = [
            ("State", state_cell(row["state"], palette)),
            ("Since", None if row["state"] == "ok" else clock(row["since"])),
        ]
        parts = [_title(row["name"], "", palette), _facts(facts, palette)]
        return Group(*parts, Text(row["reason"] or "It is well.", palette.soft))
    if row["item"] == "node":
        return _node(row, palette)
    if row["item"] == "schedule":
        return _schedule(row, palette)
    times = f"{row['count']:,} times" if row["count"] > 1 else None
    facts = [("At", clock(row["at"])), ("Times", times), ("Restarts", row.get("window"))]
    kind = row["kind"].replace("_", " ")
    parts = [_title(row["subject"], kind, palette), _facts(facts, palette)]
    return Group(*parts, Text(f"\n{row['text']}", colour_of(row["level"], palette)))


def gone_shown(what: tuple[str, Any], said: str, palette: Palette) -> RenderableType:
    """Return that a thing is not there any more."""
    return Group(_title(str(what[1]), what[0], palette), Text(said, palette.warn))


def _node(row: Answer, palette: Palette) -> RenderableType:
    up, here = row["state"] == "up", row["here"]
    facts: list[tuple[str, Text | str | None]] = [
        ("State", node_state(row, palette)),
        ("It is", ", ".join(roles_of(row)) or None),
        ("Actors", f"{row['actors']:,}" if up else None),
        ("To send", f"{row['waiting']:,} messages" if up and not here else None),
        ("Sent", None if here else f"{row['sent']:,} messages"),
        ("Lost", None if up else ", ".join(losses_of(row)) or "nothing"),
    ]
    return Group(_title(row["name"], row["id"], palette), _facts(facts, palette))


def _schedule(row: Answer, palette: Palette) -> RenderableType:
    counts: Answer = row["counts"]
    facts: list[tuple[str, Text | str | None]] = [
        ("Starts", row["workflow"]),
        ("When", row["when"]),
        ("Next", "paused" if row["paused"] else clock(row["next_at"])),
        ("Last", clock(row["last_due"])),
        ("Last run", row["last_run"]),
        *((name.capitalize(), f"{counts[name]:,}") for name in counts),
        ("Why", row["reason"]),
        ("Error", plain(row["error"], palette.bad) if row["error"] else None),
    ]
    return Group(_title(row["name"], "schedule", palette), _facts(facts, palette))


# -- parts -----------------------------------------------------------------------------------------


def _title(name: str, more: str, palette: Palette) -> Text:
    title = Text(plain(name).plain, "", end="")
    title.stylize(f"bold {palette.ink}")
    if more:
        title.append(f"  {plain(more).plain}", palette.dim)
    return title.append("\n")


def _heading(said: str, palette: Palette) -> Text:
    return Text(f"\n{said}", f"bold {palette.accent}")


def _facts(facts: Iterable[tuple[str, Text | str | None]], palette: Palette) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=palette.dim, no_wrap=True)
    table.add_column(style=palette.ink, overflow="fold")
    for name, said in facts:
        if said is None or not str(said):
            continue
        value = said.copy() if isinstance(said, Text) else Text(said)
        value.no_wrap = False
        table.add_row(Text(name), value)
    return table


def _runs_on(actor: Answer) -> str:
    return f"the node {actor['node']}" if actor.get("node") else str(actor["dispatcher"])


def _place(run: Answer) -> str | None:
    """Return the queue of a run, and what it was put in with."""
    if not run.get("queue"):
        return None
    key, priority = run.get("queue_key"), run.get("priority")
    said = [run["queue"], f"key {key}" if key else "", f"priority {priority}" if priority else ""]
    return ", ".join(filter(None, said))


def _progress(percent: float, palette: Palette) -> Text:
    return plain(share(percent / 100, 16), palette.accent).append(f" {percent:.0f} %", palette.ink)


def _wait(wait: Answer, palette: Palette, now: float) -> list[RenderableType]:
    kinds = {
        "approval": "It asks for an approval",
        "question": "It asks",
        "signal": "It waits for a signal",
    }
    title = Text(f"\n◔ {kinds.get(wait['kind'], 'It waits')}: ", f"bold {palette.warn}")
    title.append(plain(wait["name"]).plain, f"bold {palette.ink}")
    title.append(f"  in {plain(wait['step']).plain}", palette.dim)
    if wait.get("asked_at"):
        title.append(f", for {since(wait['asked_at'], now)}", palette.dim)
    parts: list[RenderableType] = [title]
    if wait.get("question"):
        parts.append(Text(str(wait["question"]), palette.soft))
    return parts


def _steps(run: Answer, palette: Palette, now: float) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold", style=palette.dim)
    targets: Answer = run.get("targets") or {}
    for step in run["steps"]:
        state = step["state"]
        name = plain(f"{mark_of(state)} ", colour_of(state, palette))
        name.append(plain(step["id"]).plain, palette.dim if state == "pending" else palette.ink)
        took = lasting(step["duration_s"])
        if state == "running" and step.get("started_at"):
            took = since(step["started_at"], now)
        said = Text(str(targets.get(step["id"], "")), palette.dim)
        if step["attempts"] > 1:
            said.append(f"  attempt {step['attempts']}", palette.warn)
        if step.get("inner"):
            said.append(f"  {step['inner']:,} parts", palette.dim)
        if step.get("tokens"):
            said.append(f"  {count(step['tokens'])} tokens", palette.dim)
        if step.get("error"):
            said.append(f"  {plain(step['error']).plain}", palette.bad)
        if step.get("output"):
            said.append(f"  {plain(step['output']).plain}", palette.soft)
        table.add_row(name, Text(took, palette.soft), said)
    return table


def _parts(children: Sequence[Answer], palette: Palette) -> Text:
    said = Text()
    for child in children:
        said.append(f"{mark_of(child['state'])} ", colour_of(child["state"], palette))
        said.append(f"{plain(child['path']).plain} ", palette.ink)
        said.append(f"{plain(child['name']).plain} {child['progress']:.0f} %\n", palette.dim)
    return said


def _spans(spans: Sequence[Answer], width: int, palette: Palette) -> Table:
    """Return the trace of a run as bars over its time."""
    width = max(12, width - 46)
    begins = min(one["start"] for one in spans)
    ends = max(one["end"] or one["start"] for one in spans)
    scale = width / max(1e-9, ends - begins)
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, width=width)
    table.add_column(no_wrap=True, justify="right", width=8)
    for span in spans[:60]:
        failed = bool(span.get("error"))
        end = span["end"] or ends
        first = min(width - 1, int((span["start"] - begins) * scale))
        length = max(1, min(width - first, round((end - span["start"]) * scale)))
        name = plain("  " * min(span["depth"], 12) + str(span["name"]), palette.soft)
        bar = Text(" " * first + "━" * length, palette.bad if failed else palette.accent)
        table.add_row(name, bar, Text(lasting(end - span["start"]), palette.dim))
    return table


def _journal(rows: Sequence[Answer], palette: Palette) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in ({"justify": "right"}, {}, {}, {}):
        table.add_column(no_wrap=True, **column)  # type: ignore[arg-type]
    table.add_column(overflow="fold")
    for row in rows[-100:]:
        table.add_row(
            Text(str(row["number"]), palette.dim),
            Text(clock(row["at"]), palette.dim),
            plain(row["kind"].replace("_", " "), palette.soft),
            plain(row["step"], palette.ink),
            Text(row["text"] or "", palette.dim),
        )
    return table


def _names(others: Sequence[Answer], palette: Palette) -> Text:
    said = ", ".join(f"{plain(one['name']).plain} ({one['pid']})" for one in others[:30])
    return Text(said + (" …" if len(others) > 30 else ""), palette.soft)


def _events(events: Sequence[Answer], palette: Palette) -> list[RenderableType]:
    if not events:
        return []
    said = Text()
    for event in events[:20]:
        said.append(f"{clock(event['at'])} ", palette.dim)
        said.append(f"{event['kind'].replace('_', ' ')} ", colour_of(event["level"], palette))
        said.append(f"{plain(event['text']).plain}\n", palette.soft)
    return [_heading("Events", palette), said]


__all__ = ["actor_shown", "gone_shown", "item_shown", "run_shown"]
