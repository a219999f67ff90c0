"""What people call users and conversations: asked for once each, in the background, and remembered."""

import asyncio
from collections.abc import Callable, Iterable

from stonechat_client.chat.ids import SYSTEM, is_group, other_user
from stonechat_client.chat.known import Known
from stonechat_client.chat.text import one_row
from stonechat_client.client import Client
from stonechat_client.errors import CallFailed, ClientError

_AT_A_TIME = 8


class Names:
    """Names, harmless to show. An id stands for itself until its name is known; `changed` is called when names have come."""

    def __init__(self, client: Client, known: Known, username: str, changed: Callable[[], None]) -> None:
        self._client = client
        self._known = known
        self._changed = changed
        self._wanted: dict[str, None] = {}
        self._without: set[str] = set()
        """Ids that the server has no name for."""
        self._some = asyncio.Event()
        self._me = client.user_id
        known.users[self._me] = username

    def user(self, user_id: str) -> str:
        """The username."""
        return "Stonechat" if user_id == SYSTEM else self._name(user_id)

    def person(self, user_id: str) -> str:
        """The username; `you` for the one who is signed in."""
        return "you" if user_id == self._me else self.user(user_id)

    def people(self, user_ids: Iterable[str]) -> str:
        """Several, with commas."""
        return ", ".join(map(self.person, user_ids))

    def conversation(self, conversation_id: str) -> str:
        """The other user of a direct conversation, or the name of a group."""
        return self._name(other_user(conversation_id, self._me) or conversation_id)

    def user_called(self, username: str) -> str:
        """The id of a user whose name is known already; empty when it is not."""
        return next((user_id for user_id, name in self._known.users.items() if name == username), "")

    def call_user(self, user_id: str, username: str) -> None:
        """The user is called so."""
        self._known.users[user_id] = one_row(username)

    def call_group(self, group_id: str, name: str) -> None:
        """The group is called so now."""
        self._known.groups[group_id] = one_row(name)

    def ask_again(self) -> None:
        """There is a connection (again): what could not be asked for may be had now."""
        if self._wanted:
            self._some.set()

    async def resolve(self, ids: Iterable[str]) -> None:
        """Return once these names are known, or cannot be had now."""
        await asyncio.gather(*[self._look_up(key) for key in ids if self._is_unknown(key)])

    async def run(self) -> None:
        """Ask for names that were shown as ids, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            wanted = list(self._wanted)
            for start in range(0, len(wanted), _AT_A_TIME):
                await asyncio.gather(*map(self._look_up, wanted[start : start + _AT_A_TIME]))
            self._known.save()
            self._changed()

    def _name(self, key: str) -> str:
        name = self._known.users.get(key) or self._known.groups.get(key)
        if name is None:
            if self._is_unknown(key):
                self._wanted[key] = None
                self._some.set()
            return key
        return name

    def _is_unknown(self, key: str) -> bool:
        return (
            key[:1] in ("u", "g")
            and key not in self._known.users
            and key not in self._known.groups
            and key not in self._without
        )

    async def _look_up(self, key: str) -> None:
        try:
            if is_group(key):
                self.call_group(key, (await self._client.get_group(key)).name)
            else:
                self.call_user(key, (await self._client.get_user(key)).username)
        except CallFailed:
            self._without.add(key)
        except ClientError:
            return  # nobody answers: it stays wanted
        self._wanted.pop(key, None)
