"""The list of conversations: name, what was said last or who types, what is unread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

WIDTH = 30
_INNER = WIDTH - 4


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation, all of it harmless text in one row each."""

    conversation_id: str
    title: str
    when: str
    last: str
    unread: int
    typing: bool


class Sidebar(OptionList):
    """An option is selected by Enter or a click; its id is that of the conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.write", "Write", show=False)]

    def __init__(self) -> None:
        super().__init__(id="sidebar", markup=False)
        self._rows: Sequence[Row] = ()
        self._open = ""

    def show(self, rows: Sequence[Row], open_id: str) -> None:
        """Show these, in this order; `open_id` is marked as open."""
        if (rows, open_id) == (self._rows, self._open):
            return
        kept = self.highlighted_option.id if self.highlighted_option and self.has_focus else open_id
        place = self.scroll_offset.y
        self._rows, self._open = rows, open_id
        self.set_options([Option(_prompt(row, row.conversation_id == open_id), id=row.conversation_id) for row in rows])
        index = next((number for number, row in enumerate(rows) if row.conversation_id == kept), None)
        self.highlighted = index
        self.scroll_to(y=place, animate=False)

    def neighbour(self, step: int) -> str:
        """The conversation so many rows below the open one; empty when there is none."""
        names = [row.conversation_id for row in self._rows]
        index = names.index(self._open) + step if self._open in names else 0
        return names[index] if 0 <= index < len(names) else ""


def _prompt(row: Row, is_open: bool) -> Content:
    badge = f" {row.unread if row.unread < 1000 else '999+'} " if row.unread else ""
    right = badge or row.when
    title = _fit(row.title, _INNER - cell_len(right) - 1)
    heading = "bold $text-primary" if is_open else "bold" if row.unread else ""
    below = "italic $text-accent" if row.typing else "$foreground" if row.unread else "$foreground-muted"
    return Content.assemble(
        (title, heading),
        " ",
        (right, "bold $background on $accent" if badge else "$foreground-muted"),
        "\n",
        (_fit(row.last, _INNER), below),
    )


def _fit(text: str, width: int) -> str:
    """Text in exactly so many cells, cut off with … when it is longer."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
