"""What people call users and conversations. Asked for once each, and kept while the program runs."""

from stonechat_client.chat.lines import clean
from stonechat_client.client import Client
from stonechat_client.errors import ClientError

SYSTEM = "system"


class Names:
    """Names of users and titles of conversations, harmless to print. An id whose name cannot be had stands
    for itself."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._users: dict[str, str] = {}
        self._groups: dict[str, str] = {}

    async def user(self, user_id: str) -> str:
        """The username; `you` for the one who is signed in."""
        if user_id == self._client.user_id:
            return "you"
        if user_id == SYSTEM:
            return "Stonechat"
        if user_id not in self._users:
            try:
                self._users[user_id] = clean((await self._client.get_user(user_id)).username)
            except ClientError:
                return user_id
        return self._users[user_id]

    async def users(self, user_ids: list[str]) -> str:
        """Several, with commas."""
        return ", ".join([await self.user(user_id) for user_id in user_ids])

    async def conversation(self, conversation_id: str) -> str:
        """The other user of a direct conversation, or the name of a group."""
        other = other_user(conversation_id, self._client.user_id)
        if other:
            return await self.user(other)
        if conversation_id not in self._groups:
            try:
                self.call_group(conversation_id, (await self._client.get_group(conversation_id)).name)
            except ClientError:
                return conversation_id
        return self._groups[conversation_id]

    def call_group(self, group_id: str, name: str) -> None:
        """The group is called so now."""
        self._groups[group_id] = clean(name)


def direct(one: str, other: str) -> str:
    """The id of the direct conversation of two users."""
    lower, higher = sorted((one, other), key=lambda user_id: int(user_id[1:]))
    return f"d.{lower}.{higher}"


def other_user(conversation_id: str, user_id: str) -> str:
    """Who else is in a direct conversation; empty when it is none."""
    kind, *users = conversation_id.split(".")
    others = [user for user in users if user != user_id]
    return others[0] if kind == "d" and others else ""
