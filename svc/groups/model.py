"""A group, its members, and one change of it."""

import hashlib
import json
from dataclasses import dataclass, replace
from enum import IntEnum


class Role(IntEnum):
    """What a member may do; each role may what those below it may. The numbers are those of the contract, and are stored."""

    MEMBER = 1
    ADMIN = 2
    OWNER = 3

    def may_manage(self) -> bool:
        """Whether the role adds members and renames the group."""
        return self >= Role.ADMIN

    def may_remove(self, other: "Role") -> bool:
        """Whether the role removes a member of the other role: admins remove members, the owner removes anybody."""
        return self is Role.OWNER or (self is Role.ADMIN and other is Role.MEMBER)


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a group."""

    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a group, made by `actor_id`; `version` is the group's after it.

    `joined` were no members before, `left` are none afterwards, `changed` have another role now. `name` is the new name,
    empty when it stays.
    """

    group_id: str
    version: int
    actor_id: str
    joined: tuple[Member, ...] = ()
    left: tuple[str, ...] = ()
    changed: tuple[Member, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A group without its members, of which there may be many. `created_us`: µs since 1970."""

    group_id: str
    name: str
    member_count: int
    version: int
    created_us: int

    def after(self, change: Change) -> "Group":
        """The group once its next change has happened."""
        return replace(
            self,
            name=change.name or self.name,
            member_count=self.member_count + len(change.joined) - len(change.left),
            version=change.version,
        )


@dataclass(frozen=True, slots=True)
class Membership:
    """A group as one of its members sees it; `role` is that member's."""

    group: Group
    role: Role


@dataclass(frozen=True, slots=True)
class NewGroup:
    """What a client asks for. `client_request_id` makes it idempotent; empty: each request is another group."""

    name: str
    member_ids: tuple[str, ...]
    client_request_id: str

    def digest(self) -> bytes:
        """32 bytes that are equal when the content is, in whatever order the members are named."""
        return hashlib.sha256(json.dumps([self.name, sorted(self.member_ids)]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Founding:
    """The request that a group came from: whose, under which id, with which content."""

    creator_id: str
    client_request_id: str
    digest: bytes
    group_id: str
