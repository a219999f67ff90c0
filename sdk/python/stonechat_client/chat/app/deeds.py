"""What the person can have done: asked for in the palette, on a message, or by a command; what is missing is asked for."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

from textual.screen import ModalScreen

from stonechat_client.chat import ids
from stonechat_client.chat.actions import Actions
from stonechat_client.chat.app.dialogs import Ask, Choose, Tell
from stonechat_client.chat.app.palette import Offer
from stonechat_client.chat.chat import Chat, NotPossible
from stonechat_client.chat.text import one_row
from stonechat_client.timeline import Delivery, TimelineMessage

R = TypeVar("R")
EMOJI = ("👍", "❤", "😂", "🎉", "😮", "😢", "🙏", "👀")


class Screens(Protocol):
    """What deeds need of the program around them."""

    async def ask(self, screen: ModalScreen[R]) -> R:
        """Show a dialog, and wait for what it says."""

    def do(self, deed: Awaitable[object]) -> None:
        """Have something done in the background; if it does not work, the person is told why."""

    def edit(self, message: TimelineMessage) -> None:
        """Have the person change a message."""

    def copy(self, text: str, what: str) -> None:
        """Put text into the clipboard."""


class Deeds:
    """Every method but `offers` is to be run by `Screens.do`."""

    def __init__(self, chat: Chat, screens: Screens) -> None:
        self._chat = chat
        self._screens = screens
        self.actions = Actions(chat)

    def offers(self) -> Iterator[Offer]:
        """What the palette lists of these."""
        for one in self._chat.conversations:
            title = self._chat.names.conversation(one.conversation_id)
            what = (
                f"{one.unread} unread"
                if one.unread
                else "group"
                if ids.is_group(one.conversation_id)
                else "conversation"
            )
            yield Offer(f"Open {title}", what, self._later(self._open, one.conversation_id))
        yield Offer("New conversation …", "with a user, by name", self._later(self.new_conversation))
        yield Offer("New group …", "of you and others", self._later(self.new_group))
        room = self._chat.room
        if room is None:
            return
        if ids.is_group(room.conversation_id):
            yield Offer("Add members …", "to this group", self._later(self.add))
            yield Offer("Remove a member …", "from this group", self._later(self.remove))
            yield Offer("Leave this group", "you will not see it any more", self._later(self.leave))
        yield Offer("Members", "who is here", self._later(self.members))
        if (own := room.last_message(own=True)) is not None:
            yield Offer("Edit my last message", one_row(own.content)[:60], self._later(self.on_message, own, "edit"))
            yield Offer(
                "Withdraw my last message", one_row(own.content)[:60], self._later(self.on_message, own, "withdraw")
            )
        if (last := room.last_message(own=False)) is not None:
            yield Offer(
                "React to the last message …", one_row(last.content)[:60], self._later(self.on_message, last, "react")
            )
            yield Offer(
                "Copy the id of the last message", last.message_id, self._later(self.on_message, last, "copy id")
            )

    async def new_conversation(self) -> None:
        """With a user whose name is asked for."""
        if answer := await self._screens.ask(Ask("New conversation", [("With", "username")])):
            await self.actions.open_called(answer[0])

    async def new_group(self) -> None:
        """Its name and members are asked for."""
        fields = [("Name of the group", "Bird watchers"), ("Members", "usernames, with spaces between")]
        if answer := await self._screens.ask(Ask("New group", fields)):
            await self.actions.create_group(answer[0], answer[1].replace(",", " ").split())

    async def add(self) -> None:
        """Members are asked for."""
        self.actions.group()
        if answer := await self._screens.ask(Ask("Add members", [("Usernames", "with spaces between")])):
            await self.actions.add(answer[0].replace(",", " ").split())

    async def remove(self) -> None:
        """The member is asked for."""
        names = [name for name in await self.actions.members() if name != self._chat.username]
        if not names:
            raise NotPossible("there is nobody else in this group")
        if name := await self._screens.ask(Choose("Remove from this group", [(name, name) for name in names])):
            await self.actions.remove(name)

    async def leave(self) -> None:
        """Once it is confirmed."""
        title = self._chat.names.conversation(self.actions.group())
        if await self._screens.ask(Choose(f"Leave {title}?", [("yes", "Leave"), ("", "Stay")])):
            await self.actions.leave()

    async def members(self) -> None:
        """Shows them."""
        members = await self.actions.members()
        await self._screens.ask(Tell(f"{len(members)} members", [("", name) for name in sorted(members)]))

    async def on_message(self, message: TimelineMessage, what: str) -> None:
        """One of react, edit, withdraw, copy, copy id, or empty: then it is asked for."""
        if not what:
            chosen = await self._screens.ask(Choose("This message", list(self._choices(message))))
            if chosen is None:
                return
            what = chosen
        own = message.sender_id == self._chat.user_id
        if what in ("edit", "withdraw") and not own:
            raise NotPossible("only one's own messages can be changed")
        if what in ("edit", "withdraw", "react", "copy id") and (not message.seq or message.withdrawn):
            raise NotPossible("that message was withdrawn" if message.withdrawn else "that message is not stored yet")
        match what:
            case "edit":
                self._screens.edit(message)
            case "withdraw":
                await self._chat.withdraw(message.message_id)
            case "react":
                await self._react(message)
            case "copy":
                self._screens.copy(message.content, "the text")
            case "copy id":
                self._screens.copy(message.message_id, "the id of the message")
            case "again":
                self._chat.dismiss(message.client_message_id)
                self._chat.say(message.content)
            case "dismiss":
                self._chat.dismiss(message.client_message_id)

    async def _react(self, message: TimelineMessage) -> None:
        mine = [emoji for emoji, users in message.reactions.items() if self._chat.user_id in users]
        choices = [(emoji, f"{emoji}  take it back") for emoji in mine]
        choices += [(emoji, emoji) for emoji in EMOJI if emoji not in mine]
        emoji = await self._screens.ask(Choose("React", [*choices, ("other", "another …")]))
        if emoji == "other":
            answer = await self._screens.ask(Ask("React", [("With", "any emoji")]))
            emoji = answer[0] if answer else ""
        if emoji:
            await self._chat.toggle(message, emoji)

    def _choices(self, message: TimelineMessage) -> Iterator[tuple[str, str]]:
        if message.delivery is Delivery.REFUSED:
            yield "again", "Send it again"
            yield "dismiss", "Take it out of sight"
        if message.seq and not message.withdrawn:
            yield "react", "React …"
            if message.sender_id == self._chat.user_id:
                yield "edit", "Edit"
                yield "withdraw", "Withdraw: its text is gone for good"
        if not message.withdrawn:
            yield "copy", "Copy its text"
        if message.seq:
            yield "copy id", f"Copy its id {message.message_id}"

    async def _open(self, conversation_id: str) -> None:
        self._chat.open(conversation_id)

    def _later(self, deed: Callable[..., Awaitable[None]], *about: object) -> Callable[[], None]:
        return lambda: self._screens.do(deed(*about))
