"""What the rules need from outside.

Every method raises `Unavailable` when the other side cannot answer now; what was asked for then did not happen, or its
outcome is unknown. Every change is written so that asking again is safe.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from svc.groups.model import Change, Founding, Group, Member, Membership, Role


class LockedGroup(Protocol):
    """A group that nobody else changes meanwhile."""

    @property
    def membership(self) -> Membership:
        """The group and the caller's role, with what was applied so far."""
        ...

    async def members(self, user_ids: Sequence[str]) -> Mapping[str, Member]:
        """Those of the users that are members, by user id."""
        ...

    async def longest_serving(self, role: Role) -> Member | None:
        """Of the members with this role the one who joined first, by version; of several, the one with the lowest user id."""
        ...

    async def apply(self, change: Change) -> None:
        """Make the change, and have its record sent: both once the block ends well, neither if it does not.

        `change` is the next one: its version is the group's plus 1, what it says of members is true of them.
        """
        ...


class GroupStore(Protocol):
    """Groups and their members."""

    async def founding(self, creator_id: str, client_request_id: str) -> Founding | None:
        """The request that the creator made under this id, if it made a group."""
        ...

    async def found(self, founding: Founding, group: Group, change: Change) -> Founding:
        """Store the group as it is after its first change, and have that change's record sent: both or neither.

        Returns the founding that stands: this one, or, and then nothing was stored, an earlier one by the same creator under
        the same request id (an empty id is never the same).
        """
        ...

    async def membership(self, group_id: str, user_id: str) -> Membership | None:
        """The group as the user sees it, or None when there is none or the user is no member."""
        ...

    def locked(self, group_id: str, user_id: str) -> AbstractAsyncContextManager[LockedGroup | None]:
        """The group as the user sees it, locked until the block ends; None as above. An error in the block undoes all of it."""
        ...

    async def members(self, group_id: str, after: str, limit: int) -> Sequence[Member]:
        """Up to `limit` members in the order of user ids, compared as text; from the first, or from behind `after`."""
        ...


class Users(Protocol):
    """Who has an account."""

    async def known(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users that exist. At most 1,000 at a time."""
        ...
