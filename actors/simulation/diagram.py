"""A run as a sequence diagram in Mermaid: the messages between actors, and where faults hit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .trace import Event

_UNSAFE = str.maketrans({"#": "#35;", ";": "#59;", "\n": " ", '"': "'", "<": "#lt;", ">": "#gt;"})


def sequence_diagram(
    events: Iterable[Event], *, title: str = "", last: int = 120, only: Sequence[str] = ()
) -> str:
    """Return Mermaid text for the *last* events, or those of the actors in *only*.

    Messages are arrows at the moment they are handled, because that is where order matters; faults
    and ends are notes. Events are left out silently at the front only, and the diagram says so.
    """
    wanted = [event for event in events if event.kind in _DRAW]
    if only:
        wanted = [event for event in wanted if event.actor in only or event.peer in only]
    left_out = max(len(wanted) - last, 0)
    shown = wanted[left_out:]
    names: dict[str, str] = {}
    for event in shown:
        for name in (event.actor, event.peer):
            if name and name not in names:
                names[name] = f"p{len(names)}"
    lines = ["sequenceDiagram"]
    if title:
        lines.insert(0, f"---\ntitle: {_safe(title)}\n---")
    lines += [f"    participant {short} as {_safe(name)}" for name, short in names.items()]
    if left_out and names:
        first = next(iter(names.values()))
        lines.append(f"    Note over {first}: {left_out} earlier events are left out")
    now = None
    for event in shown:
        if event.time_s != now and names:
            now = event.time_s
            ends = [next(iter(names.values())), next(reversed(names.values()))]
            lines.append(f"    Note over {','.join(dict.fromkeys(ends))}: t = {now:g} s")
        lines += _DRAW[event.kind](event, names)
    return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    return (text if len(text) <= 60 else text[:57] + "...").translate(_UNSAFE)


def _arrow(event: Event, names: dict[str, str]) -> list[str]:
    sender = names.get(event.peer, "")
    if not sender:
        return [f"    Note over {names[event.actor]}: handles {_safe(event.detail)}"]
    return [f"    {sender}->>{names[event.actor]}: {_safe(event.detail)}"]


def _reply(event: Event, names: dict[str, str]) -> list[str]:
    if not event.peer:
        return []
    return [f"    {names[event.actor]}-->>{names[event.peer]}: {_safe(event.detail)}"]


def _spawn(event: Event, names: dict[str, str]) -> list[str]:
    if not event.peer:
        return [f"    Note over {names[event.actor]}: starts"]
    return [f"    {names[event.peer]}-){names[event.actor]}: starts {_safe(event.detail)}".rstrip()]


def _end(event: Event, names: dict[str, str]) -> list[str]:
    return [f"    Note over {names[event.actor]}: ends: {_safe(event.detail)}"]


def _fault(event: Event, names: dict[str, str]) -> list[str]:
    return [
        "    rect rgb(255, 205, 210)",
        f"    Note over {names[event.actor]}: FAULT {_safe(event.detail)}",
        "    end",
    ]


def _dead(event: Event, names: dict[str, str]) -> list[str]:
    return [f"    Note over {names[event.actor]}: dead letter {_safe(event.detail)}"]


def _note(event: Event, names: dict[str, str]) -> list[str]:
    return [f"    Note over {names[event.actor]}: {_safe(event.detail)}"]


_DRAW = {
    "handle": _arrow,
    "reply": _reply,
    "spawn": _spawn,
    "end": _end,
    "fault": _fault,
    "dead": _dead,
    "note": _note,
}
