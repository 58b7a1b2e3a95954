"""What stands over the views for a moment: choosing an action, confirming it, going somewhere, the keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from .cells import plain, state_cell
from .offers import Offer
from .palette import Palette

Target = tuple[str, Any]


class Choose(ModalScreen[Offer | None]):
    """Asks which of several actions is meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Leave"),
    ]

    def __init__(self, offers: Sequence[Offer], palette: Palette) -> None:
        super().__init__()
        self._offers = offers
        self._palette = palette

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text("What is to be done?", "bold"), classes="title")
            yield OptionList(*(Option(self._said(one)) for one in self._offers))
        yield Footer()

    def _said(self, offer: Offer) -> Text:
        palette = self._palette
        said = plain(offer.title, f"bold {palette.bad if offer.harsh else palette.ink}")
        said.no_wrap = False
        said.append(f"\n{offer.says}", palette.dim)
        return said

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Return the one that was chosen."""
        self.dismiss(self._offers[event.option_index])


class Confirm(ModalScreen[dict[str, str] | None]):
    """Says what an action does, asks for what it needs, and does it only at the key that says so."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "yes", "Do it", priority=True),
        Binding("y", "yes", "Do it", show=False),
        Binding("escape", "dismiss", "Leave it"),
        Binding("n", "dismiss", "Leave it", show=False),
    ]

    def __init__(self, offer: Offer, who: str, palette: Palette) -> None:
        super().__init__()
        self._offer = offer
        self._who = who
        self._palette = palette

    def compose(self) -> ComposeResult:
        palette, offer = self._palette, self._offer
        colour = palette.bad if offer.harsh else palette.accent
        with VerticalScroll(classes="dialog", can_focus=not offer.fields):
            yield Static(plain(offer.title, f"bold {colour}"), classes="title")
            yield Static(Text(offer.says, palette.soft))
            for field in offer.fields:
                yield Label(Text(field.label, palette.dim))
                yield Input(field.value, id=f"field-{field.name}")
            key = "Ctrl+Y" if offer.fields else "y"
            said = Text(key, f"bold {colour}").append(" does it, ", palette.soft)
            said.append("Esc", "bold").append(" leaves it. ", palette.soft)
            said.append(f"It is recorded, as done by {plain(self._who).plain}.", palette.dim)
            yield Static(said, classes="foot")
        yield Footer()

    def on_mount(self) -> None:
        """Begin at the first field that is empty."""
        for one in self.query(Input):
            if not one.value:
                one.focus()
                return

    @on(Input.Submitted)
    def next_field(self) -> None:
        """Go to the next field. The last one confirms nothing: that is another key."""
        self.focus_next(Input)

    def action_yes(self) -> None:
        """Return what was given."""
        given = {
            f.name: self.query_one(f"#field-{f.name}", Input).value for f in self._offer.fields
        }
        self.dismiss(given)


class Go(ModalScreen[Target | None]):
    """Finds an actor by a part of its name, or a run by its id or workflow, while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Leave"),
        Binding("down", "app.focus_next", "Results", show=False),
    ]

    def __init__(self, search: Callable[[str], Awaitable[Any]], palette: Palette) -> None:
        super().__init__()
        self._search = search
        self._palette = palette
        self._targets: list[Target] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog high"):
            yield Input(placeholder="The name of an actor, the id of a run, a workflow")
            yield OptionList()
        yield Footer()

    @on(Input.Changed)
    def look(self, event: Input.Changed) -> None:
        """Ask for what fits; only the last question counts."""
        self.run_worker(self._find(event.value), exclusive=True)

    async def _find(self, query: str) -> None:
        found: dict[str, list[dict[str, Any]]] = await self._search(query) if query.strip() else {}
        palette, options = self._palette, self.query_one(OptionList)
        self._targets = []
        lines: list[Option] = []
        for run in found.get("runs", []):
            said = state_cell(run["state"], palette).append(
                f"  {plain(run['name']).plain}", palette.ink
            )
            lines.append(Option(said.append(f"  {plain(run['id']).plain}", palette.dim)))
            self._targets.append(("run", run["id"]))
        for actor in found.get("actors", []):
            said = state_cell(actor["state"], palette, of_actor=True)
            said.append(f"  {plain(actor['name']).plain}", palette.ink)
            lines.append(Option(said.append(f"  {actor['kind']} {actor['pid']}", palette.dim)))
            self._targets.append(("actor", actor["pid"]))
        options.clear_options()
        options.add_options(lines)
        options.highlighted = 0 if lines else None

    @on(Input.Submitted)
    def first(self) -> None:
        """Go to the first that was found."""
        if self._targets:
            self.dismiss(self._targets[self.query_one(OptionList).highlighted or 0])

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Go to the one that was chosen."""
        self.dismiss(self._targets[event.option_index])


KEYS = """
1 … 9, 0    the views; ← and → the one before and after
↑ ↓  k j    a row up, down; PgUp PgDn Home End
Enter       one actor, one run, the runs of a queue, the rest of a branch
Esc         back
Space       folds a branch of the tree
/           keeps what has a text in it; empty: everything
s           sorts by something else
f           keeps those in one state
n  p        the next page of runs, the one before
g           goes to an actor or a run by its name
a           what can be done to it, if the observer has that enabled
z           stands still, and goes on
t           light, dark
?           this
q           ends
"""


class Keys(ModalScreen[None]):
    """Shows the keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Leave"),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(Text("Keys", "bold"), classes="title")
            yield Static(Text(KEYS.strip("\n")))
        yield Footer()


__all__ = ["Choose", "Confirm", "Go", "Keys"]
