"""The rules of groups: who may do what, and what each change does.

A group the caller is not part of answers as one that does not exist. What already is as asked for takes no version.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from svc.groups.model import Change, Founding, Group, Member, Membership, NewGroup, Role
from svc.groups.ports import GroupStore, LockedGroup, Users
from svc.kernel.clock import Clock
from svc.kernel.errors import GroupFull, IdempotencyConflict, InvalidField, NotFound, PermissionDenied
from svc.kernel.ids import SnowflakeGenerator


class Groups:
    """All groups. `caller` is always the user who asks. Raises `CallerError`s as said, and `Unavailable`."""

    def __init__(
        self, store: GroupStore, users: Users, ids: SnowflakeGenerator, clock: Clock, max_members: int
    ) -> None:
        self._store = store
        self._users = users
        self._ids = ids
        self._clock = clock
        self._max_members = max_members

    async def create(self, caller: str, wanted: NewGroup) -> Membership:
        """A new group with the caller as its owner; a repeat gets the group that the first request made.

        Raises IdempotencyConflict when the request id was used with other content, InvalidField for an unknown member,
        GroupFull, and NotFound for a repeat by somebody who has left the group.
        """
        if wanted.client_request_id:
            before = await self._store.founding(caller, wanted.client_request_id)
            if before is not None:
                return await self._repeat(wanted, before)
        # The caller may name itself: it is in already.
        others = [user_id for user_id in wanted.member_ids if user_id != caller]
        self._must_fit(1 + len(others))
        await self._must_exist("member_ids", others)
        group_id = f"g{self._ids.next()}"
        joined = (Member(caller, Role.OWNER), *(Member(user_id, Role.MEMBER) for user_id in others))
        change = Change(group_id, 1, caller, joined=joined, name=wanted.name)
        group = Group(group_id, wanted.name, 0, 0, self._clock.now_us()).after(change)
        founding = Founding(caller, wanted.client_request_id, wanted.digest(), group_id)
        standing = await self._store.found(founding, group, change)
        # Another one stands when the same request came in twice at the same time.
        return Membership(group, Role.OWNER) if standing == founding else await self._repeat(wanted, standing)

    async def get(self, caller: str, group_id: str) -> Membership:
        """A group of the caller. Raises NotFound."""
        membership = await self._store.membership(group_id, caller)
        if membership is None:
            raise _hidden()
        return membership

    async def is_member(self, group_id: str, user_id: str) -> bool:
        """Whether the user is a member now."""
        return await self._store.membership(group_id, user_id) is not None

    async def rename(self, caller: str, group_id: str, name: str) -> Membership:
        """Give the group another name. Raises NotFound; PermissionDenied unless the caller is admin or owner."""
        async with self._locked(caller, group_id) as locked:
            _must_manage(locked.membership.role)
            if locked.membership.group.name != name:
                await locked.apply(_next(locked, caller, name=name))
            return locked.membership

    async def add(self, caller: str, group_id: str, user_ids: Sequence[str]) -> Membership:
        """Make users members; those that are already stay what they are.

        Raises NotFound; PermissionDenied unless the caller is admin or owner; InvalidField for an unknown user; GroupFull,
        and then nobody is added.
        """
        # Asked before the lock is taken: another service may be slow, and a stranger learns nothing of users here.
        _must_manage((await self.get(caller, group_id)).role)
        await self._must_exist("user_ids", user_ids)
        async with self._locked(caller, group_id) as locked:
            _must_manage(locked.membership.role)
            present = await locked.members(user_ids)
            joined = tuple(Member(user_id, Role.MEMBER) for user_id in user_ids if user_id not in present)
            if joined:
                self._must_fit(locked.membership.group.member_count + len(joined))
                await locked.apply(_next(locked, caller, joined=joined))
            return locked.membership

    async def remove(self, caller: str, group_id: str, user_id: str) -> Membership:
        """Take another member out. Who is no member changes nothing.

        Raises NotFound; PermissionDenied when the caller's role does not reach the member's; InvalidField for the caller.
        """
        if user_id == caller:
            raise InvalidField("user_id", "must be another member; to go yourself, leave the group")
        async with self._locked(caller, group_id) as locked:
            role = locked.membership.role
            _must_manage(role)
            member = (await locked.members([user_id])).get(user_id)
            if member is not None:
                if not role.may_remove(member.role):
                    raise PermissionDenied("only the owner removes admins, and nobody the owner")
                await locked.apply(_next(locked, caller, left=(user_id,)))
            return locked.membership

    async def leave(self, caller: str, group_id: str) -> None:
        """Take the caller out. When the owner leaves, the longest-serving admin, else member, becomes the owner.

        Raises NotFound, also for a repeat. The last one leaves a group behind that nobody sees.
        """
        async with self._locked(caller, group_id) as locked:
            heir = None
            if locked.membership.role is Role.OWNER:
                heir = await locked.longest_serving(Role.ADMIN) or await locked.longest_serving(Role.MEMBER)
            changed = (Member(heir.user_id, Role.OWNER),) if heir is not None else ()
            await locked.apply(_next(locked, caller, left=(caller,), changed=changed))

    async def set_role(self, caller: str, group_id: str, user_id: str, role: Role) -> Membership:
        """Give a member another role; giving OWNER makes the caller an admin.

        Raises NotFound for the group, or for a user who is no member; PermissionDenied unless the caller is the owner;
        InvalidField when the owner would give up ownership to nobody.
        """
        async with self._locked(caller, group_id) as locked:
            own = locked.membership.role
            member = (await locked.members([user_id])).get(user_id)
            if member == Member(user_id, Role.OWNER) and role is Role.OWNER and own is Role.ADMIN:
                return locked.membership  # who gave the group away and asks again is an admin by now
            if own is not Role.OWNER:
                raise PermissionDenied("only the owner gives roles")
            if member is None:
                raise NotFound("user_id: no such member", field="user_id")
            if member.role is role:
                return locked.membership
            if user_id == caller:
                raise InvalidField("user_id", "must be another member: make somebody else the owner first")
            stepping_down = (Member(caller, Role.ADMIN),) if role is Role.OWNER else ()
            changed = (Member(user_id, role), *stepping_down)
            await locked.apply(_next(locked, caller, changed=changed))
            return locked.membership

    async def members(self, caller: str, group_id: str, after: str, limit: int) -> tuple[Sequence[Member], str]:
        """Up to `limit` members behind the user `after` (empty: from the first) in the order of user ids, and the `after`
        of the next page: empty when this is the last. Raises NotFound."""
        await self.get(caller, group_id)
        found = await self._store.members(group_id, after, limit + 1)
        page = found[:limit]
        return page, page[-1].user_id if len(found) > limit else ""

    async def _repeat(self, wanted: NewGroup, founding: Founding) -> Membership:
        if founding.digest != wanted.digest():
            raise IdempotencyConflict(
                "client_request_id: used before for another group; take a new one", field="client_request_id"
            )
        return await self.get(founding.creator_id, founding.group_id)

    async def _must_exist(self, field: str, user_ids: Sequence[str]) -> None:
        known = await self._users.known(user_ids) if user_ids else frozenset()
        for user_id in user_ids:
            if user_id not in known:
                raise InvalidField(field, f"must be users; {user_id} is none")

    def _must_fit(self, members: int) -> None:
        if members > self._max_members:
            raise GroupFull(f"the group would have {members} members; {self._max_members} are the most it may have")

    @asynccontextmanager
    async def _locked(self, caller: str, group_id: str) -> AsyncIterator[LockedGroup]:
        async with self._store.locked(group_id, caller) as locked:
            if locked is None:
                raise _hidden()
            yield locked


def _next(
    locked: LockedGroup,
    actor_id: str,
    joined: tuple[Member, ...] = (),
    left: tuple[str, ...] = (),
    changed: tuple[Member, ...] = (),
    name: str = "",
) -> Change:
    group = locked.membership.group
    return Change(group.group_id, group.version + 1, actor_id, joined, left, changed, name)


def _must_manage(role: Role) -> None:
    if not role.may_manage():
        raise PermissionDenied("only admins and the owner may do this")


def _hidden() -> NotFound:
    return NotFound("group_id: no group of yours", field="group_id")
