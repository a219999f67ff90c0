"""What a person does with people and groups, whichever way it is asked for."""

from collections.abc import Sequence

from stonechat_client.chat import ids
from stonechat_client.chat.chat import Chat, NotPossible
from stonechat_client.errors import CallFailed, InvalidRequest, NotReachable

# A group can be written to once its first event has passed through the log, shortly after it was created.
_JOIN_SECONDS = 5.0


class Actions:
    """Each does one thing. Raises NotPossible, and ClientError as the calls do."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def open_called(self, name: str) -> None:
        """Open the conversation with a user, or a group by its id or its name."""
        self._chat.open(await self.called(name))

    async def called(self, name: str) -> str:
        """The conversation with a user, or of a group: by its id, or by the name that it has in the list."""
        if not name:
            raise NotPossible("say whom you want to talk to: the name of a user, or of a group of yours")
        groups = [one.conversation_id for one in self._chat.conversations if ids.is_group(one.conversation_id)]
        await self._chat.names.resolve(groups)
        return self.known(name) or ids.direct(self._chat.user_id, await self.user_id(name))

    def known(self, name: str) -> str:
        """The same, as far as it is known without asking; else empty."""
        for conversation in self._chat.conversations:
            of_group = ids.is_group(conversation.conversation_id)
            title = self._chat.names.conversation(conversation.conversation_id)
            if conversation.conversation_id == name or (of_group and title.lower() == name.lower()):
                return conversation.conversation_id
        user_id = self._chat.names.user_called(name.lower())
        return ids.direct(self._chat.user_id, user_id) if user_id not in ("", self._chat.user_id) else ""

    async def user_id(self, name: str) -> str:
        """The id of a user, who is somebody else."""
        name = name.strip().lower()
        if name == self._chat.username:
            raise NotPossible("that is you: name somebody else")
        if known := self._chat.names.user_called(name):
            return known  # usernames never change
        try:
            user = await self._chat.client.find_user(name)
        except NotReachable as error:
            raise NotPossible(f"there is no connection, and {name} is not known here yet") from error
        except (CallFailed, InvalidRequest) as error:
            if isinstance(error, CallFailed) and error.reason != "NOT_FOUND":
                raise
            raise NotPossible(f"there is no user, and no group of yours, called {name}") from error
        self._chat.names.call_user(user.user_id, user.username)
        return user.user_id

    async def create_group(self, name: str, members: Sequence[str]) -> str:
        """A new group of the user and these; opens and returns it once it can be written to."""
        if not name or not members:
            raise NotPossible("a group needs a name, and somebody else in it")
        member_ids = [await self.user_id(member) for member in members]
        group = await self._chat.client.create_group(name, member_ids)
        self._chat.names.call_group(group.group_id, group.name)
        await self._chat.until_joined(group.group_id, _JOIN_SECONDS)
        self._chat.open(group.group_id)
        return group.group_id

    async def add(self, members: Sequence[str]) -> None:
        """Add users to the open group."""
        if not members:
            raise NotPossible("say who is to be added")
        await self._chat.client.add_members(self.group(), [await self.user_id(member) for member in members])

    async def remove(self, member: str) -> None:
        """Remove somebody from the open group."""
        await self._chat.client.remove_member(self.group(), await self.user_id(member))

    async def leave(self) -> None:
        """Leave the open group."""
        await self._chat.client.leave_group(self.group())

    async def members(self) -> list[str]:
        """The names of everybody in the open group, or of both in a conversation of two."""
        room = self._chat.room
        if room is not None and not ids.is_group(room.conversation_id):
            return [self._chat.names.conversation(room.conversation_id), self._chat.username]
        user_ids = [member.user_id async for member in self._chat.client.list_members(self.group())]
        await self._chat.names.resolve(user_ids)
        return [self._chat.names.user(user_id) for user_id in user_ids]

    def group(self) -> str:
        """The open group."""
        room = self._chat.room
        if room is None or not ids.is_group(room.conversation_id):
            raise NotPossible("this is no group: open one, or create one")
        return room.conversation_id
