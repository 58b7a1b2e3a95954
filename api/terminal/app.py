"""`TerminalObserver`: the observer in a terminal. `observe` runs it until it is left."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from .acting import act_on
from .asking import Known, Target
from .client import NoObserver, NotShown, ObserverClient
from .dialogs import Go, Keys
from .lines import context_line, one_shown, top_line
from .link import Link
from .listing import Listing, Row
from .overview import numbers_line, overview_shown
from .palette import DARK, LIGHT, PALETTES, Palette, theme_here, themes
from .styles import CSS
from .tabs import ViewBar
from .views import VIEWS, View, Wish

EVERY_S: Final = 1.0
BESIDE: Final = 116
"""So many cells wide, one thing is shown beside the list."""


class TerminalObserver(App[None]):
    """Shows what *client* tells, once in *every_s* seconds. The client is closed at the end.

    *theme* is ``dark``, ``light``, or None for what the terminal says.
    """

    CSS = CSS
    TITLE = "observer"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str((i + 1) % 10), f"view({i})", one.title, show=False)
            for i, one in enumerate(VIEWS)
        ),
        Binding("left", "turn(-1)", "Before", show=False),
        Binding("right", "turn(1)", "After", show=False),
        Binding("escape", "leave", "Back"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "order", "Sort"),
        Binding("f", "only", "State"),
        Binding("space", "fold", "Fold"),
        Binding("n", "page(1)", "Next page", show=False),
        Binding("p", "page(-1)", "Page before", show=False),
        Binding("g", "go", "Go to"),
        Binding("a", "act", "Do"),
        Binding("z", "still", "Hold"),
        Binding("t", "theme", "Theme"),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self, client: ObserverClient, *, theme: str | None = None, every_s: float = EVERY_S
    ) -> None:
        super().__init__()
        self._client = client
        self._every_s = every_s
        for one in themes():
            self.register_theme(one)
        self.theme = {"dark": DARK, "light": LIGHT}.get(theme or "") or theme_here()
        self.known = Known(client)
        self.link = Link()
        self.view: View = VIEWS[0]
        self._wishes = {view.name: Wish() for view in VIEWS}
        self._target: Target | None = None
        self._item: Row | None = None
        self._opened = False
        self._still = False
        self._wake = asyncio.Event()

    # -- the screen --------------------------------------------------------------------------------

    @property
    def palette(self) -> Palette:
        """The colours of the theme."""
        return PALETTES.get(self.theme, PALETTES[DARK])

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        yield ViewBar([one.title for one in VIEWS], id="views")
        yield Static(id="numbers")
        yield Static(id="context")
        with Horizontal(id="body"):
            with VerticalScroll(id="overview"):
                yield Static(id="overview-inner")
            yield Listing(self.palette, id="list")
            with VerticalScroll(id="detail"):
                yield Static(id="detail-inner")
        yield Input(id="filter", placeholder="keep what has …")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.screen.add_class("-overview")
        self.query_one("#overview").focus()
        self.set_interval(1.0, self._show_top)
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            # A terminal that is told to end is left as it was found.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self._look()

    async def on_unmount(self) -> None:
        """Close the connections."""
        await self._client.close()

    @on(Resize)
    def fit(self) -> None:
        """Show it for another size."""
        self._show()

    @property
    def _base(self) -> Screen[Any] | None:
        """The screen below all dialogs; None once it is taken down, with an answer perhaps on its way."""
        stack = self.screen_stack
        return stack[0] if stack and stack[0].query("#top") else None

    @property
    def _list(self) -> Listing:
        return self.screen_stack[0].query_one("#list", Listing)

    @property
    def _wish(self) -> Wish:
        return self._wishes[self.view.name]

    # -- looking -----------------------------------------------------------------------------------

    @work(exclusive=True)
    async def _look(self) -> None:
        """Ask again and again, and show what is answered; at once when something else is wished for."""
        while True:
            wait = self._every_s
            if not self._still or not self.known.overview:
                wait = await self._look_once() or wait
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _look_once(self) -> float | None:
        """Ask once and show it. Returns how long to wait for the next try if there was no answer."""
        view, wish = self.view, self._wish
        wait = None
        try:
            await self.known.look(view.name, view.params(wish), self._target)
        except NoObserver as error:
            wait = self.link.failed(str(error), error.lasting, time.monotonic())
        else:
            began = self.known.overview.get("observed_since")
            if self.link.answered(began, time.time()):
                self.notify("The observer has begun anew: it is another process", markup=False)
            if self.known.lists[view.name].get("gone") and wish.into:
                wish.into.pop()
                self._wake.set()
        self._show()
        return wait

    def _again(self) -> None:
        """Look at once."""
        self._still = False
        self._wake.set()

    # -- showing -----------------------------------------------------------------------------------

    def _show(self) -> None:
        screen = self._base
        if screen is None or not self.known.overview:
            self._show_top()
            return
        beside = self.size.width >= BESIDE and self.view.columns and (self._target or self._item)
        screen.set_class(self.view.name == "overview", "-overview")
        screen.set_class(self.view.name != "overview", "-lists")
        screen.set_class(self._opened, "-whole")
        screen.set_class(bool(beside) and not self._opened, "-beside")
        screen.set_class(self.link.problem is not None, "-down")
        self._show_top()
        screen.query_one("#views", ViewBar).show(VIEWS.index(self.view), self.palette)
        numbers = numbers_line(self.known.overview, self.size.width, self.palette)
        screen.query_one("#numbers", Static).update(numbers)
        if self.view.columns:
            self._show_list()
        else:
            answer = self.known.lists.get("overview", {})
            size = screen.query_one("#overview").size
            inner = overview_shown(
                self.known.overview, answer, size.width, size.height, self.palette
            )
            screen.query_one("#overview-inner", Static).update(inner)
        self._show_context()
        self._show_detail()
        self.refresh_bindings()

    def _show_top(self) -> None:
        system = str(self.known.overview.get("system", "observer"))
        line = top_line(system, self._client.shown, self.link, self._still, self.palette)
        if self._base is not None:
            self._base.query_one("#top", Static).update(line)

    def _show_list(self) -> None:
        answer = self.known.lists.get(self.view.name)
        if answer is None:
            self._list.show((), "…")
            return
        rows = self.view.rows(answer, self._wish)
        self._list.show(rows, answer.get("problem") or self.view.empty)

    def _show_context(self) -> None:
        answer = self.known.lists.get(self.view.name, {})
        line = context_line(self.view, self._wish, answer, self.palette)
        screen = self.screen_stack[0]
        screen.set_class(bool(line) and not self._opened, "-has-context")
        screen.query_one("#context", Static).update(line)

    def _show_detail(self) -> None:
        inner = self.screen_stack[0].query_one("#detail-inner", Static)
        width = inner.size.width or 48
        inner.update(one_shown(self._target, self._item, self.known, width, self.palette))

    # -- moving ------------------------------------------------------------------------------------

    def action_view(self, index: int) -> None:
        """Show another view."""
        view = VIEWS[index]
        if view is self.view and not self._opened:
            return
        self.view, self._opened = view, False
        self._target = self._item = None
        self.screen.remove_class("-filtering")
        if view.columns:
            self._list.of(view.columns, view.cells)
        self._show()
        (self._list if view.columns else self.query_one("#overview")).focus()
        self._again()

    def action_turn(self, by: int) -> None:
        """Show the view before or after."""
        self.action_view((VIEWS.index(self.view) + by) % len(VIEWS))

    @on(ViewBar.Chosen)
    def turned(self, event: ViewBar.Chosen) -> None:
        """Show the view that was clicked on."""
        self.action_view(event.index)

    @on(Listing.Moved)
    def moved(self, event: Listing.Moved) -> None:
        """Show the one at the cursor beside the list."""
        if not self._opened:
            self._show_one(event.row)

    def _show_one(self, row: Row | None) -> None:
        target = None if row is None else row.get("target")
        self._item = row if row is not None and "item" in row else None
        if target is not None and self._item is not None and not self._opened:
            target = None  # an event is shown itself; Enter opens whom it is about
        if target != self._target:
            self._target = target
            if target is not None and (self.size.width >= BESIDE or self._opened):
                self._again()
        self._show()

    @on(Listing.Opened)
    def opened(self, event: Listing.Opened) -> None:
        """Show one thing on the whole screen, or go into a branch."""
        row = event.row
        if "into" in row:
            self._wish.into.append(row["into"])
            self._again()
            return
        if "runs_of" in row:
            self._runs_of(row["runs_of"])
            return
        if row.get("target") is None and "item" not in row:
            return
        self._opened = True
        self._target = None
        self._show_one(row)
        self.query_one("#detail").focus()
        self._again()

    def _runs_of(self, queue: str) -> None:
        wish = self._wishes["runs"]
        wish.query, wish.queue, wish.only = "", queue, 0
        wish.pages.clear()
        self.action_view(next(i for i, one in enumerate(VIEWS) if one.name == "runs"))

    def action_leave(self) -> None:
        """Leave what was opened last."""
        wish = self._wish
        if self._opened:
            self._opened = False
            self._show_one(self._list.row if self.view.columns else None)
            (self._list if self.view.columns else self.query_one("#overview")).focus()
        elif self.screen.has_class("-filtering") or wish.query:
            wish.query = ""
            self.screen.remove_class("-filtering")
            self._list.focus()
        elif wish.into:
            wish.into.pop()
        elif wish.queue:
            wish.queue = ""
            wish.pages.clear()
        else:
            return
        self._show()
        self._again()

    # -- what is kept, and in which order --------------------------------------------------------------

    def action_filter(self) -> None:
        """Ask for a text that all rows are to have in them."""
        if not self.view.columns or self._opened:
            self.action_go()
            return
        self.screen.add_class("-filtering")
        filter_ = self.query_one("#filter", Input)
        filter_.value = self._wish.query
        filter_.focus()

    @on(Input.Changed, "#filter")
    def narrowed(self, event: Input.Changed) -> None:
        """Keep what has the text in it."""
        if self._wish.query != event.value and self.screen.has_class("-filtering"):
            self._wish.query = event.value
            self._wish.pages.clear()
            self._show()
            self._again()

    @on(Input.Submitted, "#filter")
    def filtered(self) -> None:
        """Go back to the list."""
        self.screen.remove_class("-filtering")
        self._list.focus()

    def action_order(self) -> None:
        """Sort by something else."""
        if self.view.orders:
            self._wish.order = (self._wish.order + 1) % len(self.view.orders)
            self._show()
            self._again()

    def action_only(self) -> None:
        """Keep those in one state, the next one."""
        if self.view.onlys:
            self._wish.only = (self._wish.only + 1) % len(self.view.onlys)
            self._wish.pages.clear()
            self._show()
            self._again()

    def action_fold(self) -> None:
        """Fold the branch at the cursor, or open it."""
        row = self._list.row
        if self.view.name == "tree" and row is not None and row.get("children"):
            self._wish.folded.symmetric_difference_update({row["pid"]})
            self._show()

    def action_page(self, by: int) -> None:
        """Turn the list of runs over."""
        pages, following = self._wish.pages, self.known.lists.get("runs", {}).get("next")
        if self.view.name != "runs" or (by > 0 and not following) or (by < 0 and not pages):
            return
        if by > 0:
            pages.append(str(following))
        else:
            pages.pop()
        self._again()

    def action_still(self) -> None:
        """Stand still, or go on."""
        self._still = not self._still
        self._show_top()
        if not self._still:
            self._again()

    def action_theme(self) -> None:
        """Change between light and dark."""
        self.theme = LIGHT if self.theme == DARK else DARK
        self._list.palette = self.palette
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Show the keys alone that do something here."""
        if action == "leave":
            wish = self._wish
            filtering = self._base is not None and self._base.has_class("-filtering")
            return self._opened or filtering or bool(wish.query or wish.into or wish.queue)
        if action == "order":
            return bool(self.view.orders) and not self._opened
        if action == "only":
            return bool(self.view.onlys) and not self._opened
        if action == "fold":
            return self.view.name == "tree" and not self._opened
        if action == "act":
            return bool(self.known.actions)
        return True

    # -- what stands over it -----------------------------------------------------------------------------

    def action_keys(self) -> None:
        """Show the keys."""
        self.push_screen(Keys())

    def action_go(self) -> None:
        """Go to an actor or a run by its name."""

        async def search(query: str) -> Mapping[str, Any]:
            try:
                return await self._client.get("search", q=query)
            except (NoObserver, LookupError) as error:
                self.notify(str(error), severity="error", markup=False)
                return {}

        self.push_screen(Go(search, self.palette), self._went)

    def _went(self, target: Target | None) -> None:
        if target is not None:
            self._opened, self._target, self._item = True, target, None
            self._show()
            self.query_one("#detail").focus()
            self._again()

    def action_act(self) -> None:
        """Offer what can be done to what is looked at."""
        row = self._list.row if self.view.columns else None
        target = self._target or (None if row is None else row.get("target") or row.get("acts_on"))
        if target is None:
            self.notify("Choose an actor, a run or a schedule first", markup=False)
        else:
            self._act(target)

    @work(exclusive=True, group="acting")
    async def _act(self, target: Target) -> None:
        await act_on(self, self._client, self.known, target, self.palette)
        self._again()


async def _observe(client: ObserverClient, theme: str | None) -> None:
    try:
        await client.get("overview")
    except BaseException:
        await client.close()
        raise
    await TerminalObserver(client, theme=theme).run_async()


def observe(
    url: str, token: str | None = None, *, user: str | None = None, theme: str | None = None
) -> None:
    """Show the observer at *url* in this terminal until it is left.

    *token* is the observer's, if it has one; *user* is who actions are recorded for where the observer
    knows no better; *theme* is ``dark`` or ``light``. Blocks; in the main thread.
    Raises `NoObserver` if nothing answers there, and `NotShown`, a ValueError, for an address that is not
    one, and where there is no terminal.
    """
    client = ObserverClient(url, token, user)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotShown(
            f"there is no terminal here; for programs the same is at {client.shown}/api/ as JSON"
        )
    asyncio.run(_observe(client, theme))


__all__ = ["TerminalObserver", "observe"]
