"""The open conversation: rows of messages that grow at both ends."""

import zlib
from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.selection import Selection
from textual.widget import Widget
from textual.widgets import Static

from stonechat_client.chat.app.beside import Beside
from stonechat_client.chat.app.entries import GLYPHS, Entry, Note
from stonechat_client.timeline import Delivery, TimelineMessage

_PEOPLE = ("$text-primary", "$text-success", "$text-error")
_MARKS = {
    Delivery.WAITING: "$text-warning",
    Delivery.STORED: "$foreground-muted",
    Delivery.READ: "$text-success",
    Delivery.REFUSED: "bold $text-error",
}


class NoteRow(Static):
    """A day, a change of members, or the line above what is new."""

    def __init__(self, note: Note) -> None:
        super().__init__(Content(note.text), classes=f"note -{note.kind}", markup=False)

    def show(self, note: Note, numbers: bool) -> None:
        """It says this now."""
        self.update(Content(note.text))


class MessageRow(Static, can_focus=True):
    """A message. Enter, a click or a letter asks for what can be done with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "ask('')", "Actions"),
        Binding("r", "ask('react')", "React"),
        Binding("e", "ask('edit')", "Edit"),
        Binding("w", "ask('withdraw')", "Withdraw"),
        Binding("c", "ask('copy')", "Copy"),
        Binding("up", "step(-1)", "Older", show=False),
        Binding("down", "step(1)", "Newer", show=False),
    ]

    class Asked(Message):
        """Something is to be done with a message: react, edit, withdraw, copy, or empty to choose."""

        def __init__(self, message: TimelineMessage, what: str) -> None:
            super().__init__()
            self.message = message
            self.what = what

    def __init__(self, entry: Entry, numbers: bool) -> None:
        super().__init__(classes="message", markup=False)
        self.entry = entry
        self.show(entry, numbers)

    def show(self, entry: Entry, numbers: bool) -> None:
        """It looks like this now."""
        self.entry = entry
        self.set_class(bool(entry.sender), "-first")
        self.set_class(entry.own, "-own")
        self.update(Beside(Content.assemble(*_text(entry)), Content.assemble(*_meta(entry, numbers))))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What the person has marked with the mouse: the text without the time beside it."""
        visual = self.visual
        return (selection.extract(visual.text.plain), "\n") if isinstance(visual, Beside) else None

    def on_click(self, event: events.Click) -> None:
        if not self.screen.selections:  # else it was the end of marking text
            self.focus()
            self.action_ask("")

    def action_ask(self, what: str) -> None:
        self.post_message(self.Asked(self.entry.message, what))

    def action_step(self, step: int) -> None:
        rows = list(self.screen.query(MessageRow))
        index = rows.index(self) + step
        if index >= len(rows):
            self.app.simulate_key("escape")
        elif index >= 0:
            rows[index].focus()
        else:
            self.post_message(MessageView.OlderWanted())


class MessageView(VerticalScroll, can_focus=False):
    """`show` brings the rows to what they should be, and keeps in sight what is in sight."""

    class OlderWanted(Message):
        """The oldest row is in sight: what came before?"""

    class EndReached(Message):
        """The newest row is in sight."""

    def __init__(self) -> None:
        super().__init__(id="messages")
        self._rows: dict[str, tuple[Widget, Note | Entry, bool]] = {}
        self._reading: tuple[Widget, float] | None = None
        """A row that is to stay where it is, and how far below the upper edge that is, while rows come or go above it."""
        self._keeping = False

    @property
    def at_end(self) -> bool:
        """Whether the newest row is in sight."""
        return self.max_scroll_y <= 0 or self.scroll_y >= self.max_scroll_y - 1

    def clear(self) -> None:
        """Another conversation comes."""
        self._reading = None
        self._rows = {}
        self.remove_children()
        self.anchor()

    def show(self, wanted: Iterable[Note | Entry], numbers: bool) -> None:
        """These rows, in this order; `numbers` shows the seqs."""
        rows = {row.key: row for row in wanted}
        self._reading = None if self.at_end else self._first_in_sight()
        with self.app.batch_update():
            for key in [key for key in self._rows if key not in rows]:
                self._rows.pop(key)[0].remove()
            self._place(rows, numbers)
            self._rows = {key: self._rows[key] for key in rows}

    def _first_in_sight(self) -> tuple[Widget, float] | None:
        for row, _, _ in self._rows.values():
            if isinstance(row, MessageRow) and row.virtual_region.y >= self.scroll_y:
                return row, row.virtual_region.y - self.scroll_y
        return None

    def watch_virtual_size(self) -> None:
        """Rows have come or gone: what is being read stays where it is."""
        if self._reading is not None and (row := self._reading[0]).is_attached:
            self._keeping = True
            self.scroll_to(y=row.virtual_region.y - self._reading[1], animate=False, immediate=True, force=True)
            self._keeping = False

    def _place(self, rows: dict[str, Note | Entry], numbers: bool) -> None:
        """Mount what is new, run by run, before the row that follows it; change what looks different."""
        run: list[Widget] = []
        for key, row in rows.items():
            if key not in self._rows:
                widget = MessageRow(row, numbers) if isinstance(row, Entry) else NoteRow(row)
                self._rows[key] = (widget, row, numbers)
                run.append(widget)
                continue
            widget, shown, with_numbers = self._rows[key]  # type: ignore[assignment]
            if run:
                self.mount_all(run, before=widget)
                run = []
            if (shown, with_numbers) != (row, numbers):
                widget.show(row, numbers)  # type: ignore[arg-type]
                self._rows[key] = (widget, row, numbers)
        if run:
            self.mount_all(run)

    def on_mouse_scroll_up(self) -> None:
        if self.scroll_y <= 1:
            self.post_message(self.OlderWanted())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._keeping:
            return
        self._reading = None  # the person has moved on
        if new_value < old_value and new_value <= 1:
            self.post_message(self.OlderWanted())
        elif self.at_end:
            self.post_message(self.EndReached())


def _text(entry: Entry) -> Iterable[str | tuple[str, str] | Content]:
    message = entry.message
    if entry.sender:
        colour = "$text-accent" if entry.own else _PEOPLE[zlib.adler32(entry.sender.encode()) % len(_PEOPLE)]
        yield (entry.sender, f"bold {colour}")
        yield "\n"
    if message.withdrawn:
        yield ("withdrawn", "italic $foreground-muted")
    else:
        yield entry.body
        if message.edited:
            yield (" (edited)", "italic $foreground-muted")
    if message.delivery is Delivery.REFUSED:
        yield (f"\nnot sent: {message.why}", "$text-error")
    for number, (emoji, count, own) in enumerate(entry.reactions):
        yield " " if number else "\n"
        yield (f" {emoji} {count} ", "$text-primary on $primary-muted" if own else "$text on $surface-lighten-2")


def _meta(entry: Entry, numbers: bool) -> Iterable[str | tuple[str, str]]:
    message = entry.message
    if numbers and message.seq:
        yield (f"#{message.seq} ", "$foreground-disabled")
    yield (entry.when, "$foreground-muted")
    glyph = GLYPHS[message.delivery] if message.delivery is not None else ""
    yield (f" {glyph:<2}", _MARKS[message.delivery] if message.delivery is not None else "")
