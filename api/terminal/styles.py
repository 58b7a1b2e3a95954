"""Where everything stands on the screen, and how it is framed."""

from __future__ import annotations

from typing import Final

CSS: Final = """
Screen { background: $background; color: $foreground; }
#top, #views, #numbers, #context { height: 1; padding: 0 1; background: $surface; }
#views { padding: 0; }
#numbers { padding: 0; background: $background; }
#context { background: $background; color: $dim; display: none; }
.-has-context #context { display: block; }
#body { height: 1fr; }
#overview { height: 1fr; padding: 0 0 0 1; scrollbar-size-vertical: 1; }
#list { width: 1fr; height: 1fr; overflow-x: hidden; scrollbar-gutter: stable; scrollbar-size-vertical: 1; }
#detail {
    width: 42%; height: 1fr; padding: 0 1; background: $surface; display: none;
    border-left: solid $line; scrollbar-size-vertical: 1;
}
#detail:focus { border-left: solid $primary; }
.-overview #list { display: none; }
.-lists #overview { display: none; }
.-beside #detail { display: block; }
.-whole #list, .-whole #overview { display: none; }
.-whole #detail { display: block; width: 1fr; border-left: none; }
.-down #body { opacity: 60%; }
.-down #top { background: $error 25%; }
#filter { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
.-filtering #filter { display: block; }
Footer { background: $surface; }
ModalScreen { align: center middle; background: $background 60%; }
.dialog {
    width: 76; max-width: 94%; height: auto; max-height: 84%; padding: 1 2;
    background: $surface; border: round $primary;
}
.high { height: 80%; }
.dialog OptionList { height: auto; max-height: 24; border: none; background: $surface; padding: 0; }
.dialog OptionList > .option-list--option-highlighted,
.dialog OptionList:focus > .option-list--option-highlighted { background: $chosen; color: $foreground; text-style: none; }
.dialog OptionList > .option-list--option-hover { background: $background; }
.high OptionList { height: 1fr; max-height: 100%; }
.dialog .title { margin-bottom: 1; }
.dialog .foot { margin-top: 1; }
.dialog Input { border: tall $line; background: $background; }
.dialog Input:focus { border: tall $primary; }
"""

__all__ = ["CSS"]
