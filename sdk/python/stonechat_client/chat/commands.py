"""What a person may type after a `/`, and what it does: the same in a terminal and in a pipe."""

import re
import shlex
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.chat.actions import Actions
from stonechat_client.chat.chat import Chat, NotPossible
from stonechat_client.client import new_id
from stonechat_client.timeline import TimelineMessage

COMMANDS = {
    "/to NAME": "open the conversation with a user, or a group of yours",
    "/group NAME MEMBERS…": "create a group and open it; a NAME of several words in quotes",
    "/add MEMBERS…": "add users to this group",
    "/remove MEMBER": "remove somebody from this group",
    "/leave": "leave this group",
    "/members": "who is here",
    "/list": "your conversations, and what is unread",
    "/history": "what was said before",
    "/edit [#N] TEXT": "replace the text of your message N, or of your last one",
    "/withdraw [#N]": "take your message N, or your last one, back for good",
    "/react [#N] EMOJI": "react to message N, or to the last one; once more takes it back",
    "/help": "this list; to say something that begins with /, begin with //",
    "/quit": "leave",
}
_NUMBER = re.compile(r"#([0-9]{1,18})(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Command:
    """`/name rest`."""

    name: str
    rest: str


def parse(typed: str) -> Command | str:
    """A command, or the text of a message: empty when there is nothing to send."""
    text = typed.strip()
    if text.startswith("//"):
        return text[1:]
    if not text.startswith("/"):
        return text
    name, _, rest = text.partition(" ")
    return Command(name.lower(), rest.strip())


def numbered(rest: str) -> tuple[int | None, str]:
    """The message that `#N …` names, and what follows; None when it names none."""
    match = _NUMBER.match(rest)
    return (int(match[1]), rest[match.end() :].strip()) if match else (None, rest)


Start = Callable[[str, str, Coroutine[Any, Any, Sent]], None]
"""Have a change done in the background: what it is should it fail, its client message id, and the change."""


class Commands:
    """Does what was typed. `/help`, `/list`, `/members`, `/history` and `/quit` show something, or end the program: those are
    for the program. Raises NotPossible and ClientError."""

    def __init__(self, chat: Chat, actions: Actions, start: Start) -> None:
        self._chat = chat
        self._actions = actions
        self._start = start

    async def obey(self, command: Command) -> None:
        """Do what a command says."""
        match command.name:
            case "/to":
                await self._actions.open_called(command.rest.strip("\"'"))
            case "/group":
                name, *members = _words(command.rest)
                await self._actions.create_group(name, members)
            case "/add":
                await self._actions.add(command.rest.split())
            case "/remove":
                await self._actions.remove(command.rest)
            case "/leave":
                await self._actions.leave()
            case "/edit":
                self._edit(command.rest)
            case "/withdraw":
                self._withdraw(command.rest)
            case "/react":
                self._react(command.rest)
            case _:
                raise NotPossible(f"there is no {command.name}: /help lists what there is")

    def _edit(self, rest: str) -> None:
        number, text = numbered(rest)
        if not text:
            raise NotPossible("say what it should be: /edit TEXT or /edit #N TEXT")
        target, key = self._target(number, own=True), new_id()
        self._start("the edit was not made", key, self._chat.edit(target.message_id, text, key))

    def _withdraw(self, rest: str) -> None:
        number, unused = numbered(rest)
        if unused:
            raise NotPossible("say which: /withdraw or /withdraw #N")
        target, key = self._target(number, own=True), new_id()
        self._start("the message was not taken back", key, self._chat.withdraw(target.message_id, key))

    def _react(self, rest: str) -> None:
        number, emoji = numbered(rest)
        if not emoji:
            raise NotPossible("say how: /react EMOJI or /react #N EMOJI")
        target, key = self._target(number, own=False), new_id()
        self._start("the reaction was not made", key, self._chat.toggle(target, emoji, key))

    def _target(self, number: int | None, own: bool) -> TimelineMessage:
        if self._chat.room is None:
            raise NotPossible("no conversation is open: /to NAME opens one, /list shows yours")
        room = self._chat.room
        found = room.last_message(own) if number is None else room.message(number)
        if found is None:
            raise NotPossible("no such message was shown" if number else "there is no message yet")
        if own and found.sender_id != self._chat.user_id:
            raise NotPossible("that message is not yours")
        return found


def _words(rest: str) -> list[str]:
    try:
        words = shlex.split(rest)
    except ValueError:
        words = []
    if len(words) < 2:
        raise NotPossible("say it like this: /group NAME MEMBERS…")
    return words
