"""Where the person writes: Enter sends, several rows may be pasted, the arrows bring back what was written before."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

_REMEMBERED = 100


class Composer(TextArea):
    """`Submitted` carries what was written, in the order in which it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Send"),
        Binding("shift+enter,alt+enter,ctrl+j", "newline", "New line", show=False),
        Binding("up", "up", show=False),
        Binding("down", "down", show=False),
        Binding("pageup", "app.scroll_messages(-1)", show=False),
        Binding("pagedown", "app.scroll_messages(1)", show=False),
        Binding("escape", "escape", show=False),
    ]

    class Submitted(Message):
        """Enter was pressed on this text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Writing(Message):
        """The person has changed the text."""

    class Escaped(Message):
        """Escape was pressed."""

    def __init__(self) -> None:
        super().__init__(id="composer", compact=True, highlight_cursor_line=False, placeholder="Write a message")
        self._written: list[str] = []
        self._place = 0
        self._draft = ""

    def give_back(self, text: str) -> None:
        """What was sent could not be taken: unless the person writes something else by now, it is there again."""
        if not self.text:
            self.write(text)

    def write(self, text: str) -> None:
        """Put a text in place, to go on with it."""
        self.text = text
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        # Not by a binding with priority, which would overtake the letters that were typed just before.
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.action_submit()
            return
        await super()._on_key(event)
        if event.is_printable:
            self.post_message(self.Writing())

    def action_submit(self) -> None:
        if text := self.text.strip():
            if self._written[-1:] != [self.text]:
                self._written = [*self._written, self.text][-_REMEMBERED:]
            self._place = len(self._written)
            self.text = ""  # at once: what is typed from here on belongs to the next message
            self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        self.insert("\n")

    def action_escape(self) -> None:
        self.post_message(self.Escaped())

    def action_up(self) -> None:
        if self.cursor_at_first_line and self._place > 0:
            if self._place == len(self._written):
                self._draft = self.text
            self._place -= 1
            self.write(self._written[self._place])
        else:
            self.action_cursor_up()

    def action_down(self) -> None:
        if self.cursor_at_last_line and self._place < len(self._written):
            self._place += 1
            self.write(self._written[self._place] if self._place < len(self._written) else self._draft)
        else:
            self.action_cursor_down()
