"""The open conversation beside the list of all of them."""

import asyncio
from datetime import UTC, datetime

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from stonechat_client.chat.app.composer import Composer
from stonechat_client.chat.app.entries import entries
from stonechat_client.chat.app.messages import MessageRow, MessageView
from stonechat_client.chat.app.rows import rows, typing
from stonechat_client.chat.app.sidebar import Sidebar
from stonechat_client.chat.chat import Change, Chat
from stonechat_client.errors import ClientError
from stonechat_client.state import State
from stonechat_client.timeline import TimelineMessage

_SHOWN = 100
"""Rows of a conversation at first; each look further back shows as many more."""
_NOTHING = "Ctrl-K opens a conversation, or begins one.\nF1 helps."


class Main(Horizontal):
    """`draw` brings it to what a `Chat` knows. In a narrow terminal the list takes the place of the conversation."""

    def __init__(self) -> None:
        super().__init__(id="main")
        self._chat: Chat | None = None
        self._open_id = ""
        self._wanted = _SHOWN
        self._numbers = False
        self._looking_back = asyncio.Lock()
        self.editing: TimelineMessage | None = None
        """The message that the person changes; None while a new one is written."""

    def compose(self) -> ComposeResult:
        yield Sidebar()
        with Vertical(id="conversation"):
            yield Static(id="heading", markup=False)
            yield Static(Content(_NOTHING), id="nothing")
            yield MessageView()
            yield Static(id="typing", markup=False)
            yield Composer()

    def on_mount(self) -> None:
        self.messages.display = False
        self.composer.focus()

    @property
    def composer(self) -> Composer:
        """Where the person writes."""
        return self.query_one(Composer)

    @property
    def messages(self) -> MessageView:
        """The open conversation."""
        return self.query_one(MessageView)

    @property
    def numbers(self) -> bool:
        """Whether messages have their numbers with them."""
        return self._numbers

    def toggle_numbers(self) -> None:
        """Show or hide them."""
        self._numbers = not self._numbers
        if self._chat is not None:
            self._draw_messages(self._chat)

    def draw(self, chat: Chat, change: Change) -> None:
        """Show what has changed."""
        self._chat = chat
        open_id = chat.room.conversation_id if chat.room is not None else ""
        if Change.LIST in change:
            seen_id = open_id if self._in_sight else ""
            self.query_one(Sidebar).show(list(rows(chat, datetime.now(UTC), seen_id)), open_id)
        if Change.ROOM in change:
            self._draw_messages(chat)
        self.query_one("#heading", Static).update(Content(chat.names.conversation(open_id) if open_id else ""))
        self.query_one("#typing", Static).update(Content(typing(chat, open_id) if open_id else ""))

    def _draw_messages(self, chat: Chat) -> None:
        room, view = chat.room, self.messages
        view.display = room is not None
        self.query_one("#nothing").display = room is None
        open_id = room.conversation_id if room is not None else ""
        if open_id != self._open_id:
            self._open_id, self._wanted = open_id, _SHOWN
            view.clear()
            self.edit(None)
        if room is not None:
            if view.at_end and view.max_scroll_y > 0 and self._wanted > 2 * _SHOWN:
                self._wanted = _SHOWN  # the person is back at the end; each row costs with every change
            items = room.items[-self._wanted :]
            view.show(entries(items, chat.names, chat.user_id, room.unread, datetime.now(UTC)), self._numbers)
            self.call_after_refresh(self.look)

    def look(self) -> None:
        """See whether the rows fill the screen, and whether the end of the conversation is in sight."""
        if self._chat is None or self._chat.room is None or not self.is_attached:
            return
        if self.messages.max_scroll_y <= 0:
            self.look_back()
        if self._in_sight:
            self._chat.saw()

    @property
    def _in_sight(self) -> bool:
        """Whether the person sees the end of the open conversation."""
        return self.messages.at_end and self.app.app_focus and not self.has_class("-list")

    def look_back(self) -> None:
        """Show what came before the first row."""
        if not self._looking_back.locked():
            self.run_worker(self._look_back(), group="look back", exclusive=False)

    async def _look_back(self) -> None:
        """Page by page, until what came before fills the screen above what is being read."""
        async with self._looking_back:
            while (chat := self._chat) is not None and (room := chat.room) is not None:
                if self._wanted >= len(room.items):
                    if room.complete or chat.state.state in (State.CONNECTING, State.SIGNED_OUT, State.CLOSED):
                        return
                    try:
                        if not await chat.older():
                            return
                    except ClientError:
                        return  # without a connection there is only what the cache has
                if chat.room is room:
                    self._wanted += _SHOWN
                    self._draw_messages(chat)
                drawn = asyncio.Event()
                self.call_after_refresh(drawn.set)
                await drawn.wait()
                if self.messages.scroll_y > 1:
                    return

    def edit(self, message: TimelineMessage | None) -> None:
        """Have the person change this message; None goes back to new ones."""
        if message is None and self.editing is None:
            return
        self.editing, composer = message, self.composer
        composer.set_class(message is not None, "-editing")
        composer.border_title = "editing · Enter changes it, Esc leaves it" if message is not None else None
        composer.write(message.content if message is not None else "")
        self.write()

    def write(self) -> None:
        """Go to where one writes."""
        self.remove_class("-list")
        # In a narrow terminal it comes into sight only now; what is out of sight takes no focus.
        self.call_after_refresh(self.composer.focus)

    def toggle_list(self) -> None:
        """Go to the list of conversations; or back."""
        sidebar = self.query_one(Sidebar)
        if sidebar.has_focus:
            self.write()
            return
        self.add_class("-list")
        self.call_after_refresh(sidebar.focus)

    def scroll_pages(self, pages: int) -> None:
        """Scroll the conversation, wherever the focus is."""
        view = self.messages
        view.scroll_relative(y=pages * max(1, view.size.height - 2), animate=False)
        if pages < 0 and view.scroll_y <= 1:
            self.look_back()

    @on(MessageView.OlderWanted)
    def _older_wanted(self) -> None:
        self.look_back()

    @on(MessageView.EndReached)
    def _end_reached(self) -> None:
        self.look()

    @on(Composer.Escaped)
    def _escaped(self) -> None:
        if self.editing is not None:
            self.edit(None)
        elif messages := list(self.query(MessageRow)):
            messages[-1].focus()
