"""Changes at the same time, by two instances that share the tables."""

import asyncio
from pathlib import Path

import pytest

from svc.groups.model import Change, NewGroup, Role
from svc.kernel.errors import NotFound, StonechatError
from tests.groups.world import World, open_world, replay


async def test_two_adds_at_the_same_time_take_two_versions(tmp_path: Path, mysql: str) -> None:
    async with open_world(tmp_path, mysql=mysql) as one, open_world(tmp_path, mysql=mysql) as other:
        group_id = await one.group("u1")
        added = await asyncio.gather(
            *(one.groups.add("u1", group_id, [f"u{number}"]) for number in range(2, 7)),
            *(other.groups.add("u1", group_id, [f"u{number}"]) for number in range(7, 12)),
        )
        assert sorted(membership.group.version for membership in added) == list(range(2, 12))
        assert replay(await one.records(group_id)) == await other.table(group_id)


async def test_a_crowd_that_changes_one_group_is_served_one_after_the_other(tmp_path: Path, mysql: str) -> None:
    """More of them than there are connections; nobody is refused, nobody waits in a circle, no version is skipped."""
    async with open_world(tmp_path, mysql=mysql) as one, open_world(tmp_path, mysql=mysql) as other:
        group_id = await one.group("u1", "u2", admins=["u2"])
        first = (await one.groups.get("u1", group_id)).group.version
        renamed = await asyncio.gather(
            *(one.groups.rename("u1", group_id, f"one {number}") for number in range(30)),
            *(other.groups.rename("u2", group_id, f"other {number}") for number in range(30)),
        )
        assert sorted(each.group.version for each in renamed) == list(range(first + 1, first + 61))
        newest = max(renamed, key=lambda each: each.group.version)
        assert (await other.groups.get("u1", group_id)).group == newest.group
        assert len(await one.records(group_id)) == first + 60


async def test_the_same_request_twice_at_the_same_time_makes_one_group(tmp_path: Path, mysql: str) -> None:
    wanted = NewGroup("Chess", ("u2",), "request-1")
    async with open_world(tmp_path, mysql=mysql) as one, open_world(tmp_path, mysql=mysql) as other:
        made = await asyncio.gather(*(world.groups.create("u1", wanted) for world in (one, other) * 3))
        [group_id] = {membership.group.group_id for membership in made}
        assert len(await one.records(group_id)) == 1


async def test_when_everybody_leaves_at_once_somebody_owned_the_group_until_the_end(tmp_path: Path, mysql: str) -> None:
    async with open_world(tmp_path, mysql=mysql) as one, open_world(tmp_path, mysql=mysql) as other:
        group_id = await one.group("u1", "u2", "u3", "u4")
        await asyncio.gather(
            *(one.groups.leave(user_id, group_id) for user_id in ("u1", "u2")),
            *(other.groups.leave(user_id, group_id) for user_id in ("u3", "u4")),
        )
        records = await one.records(group_id)
        for count in range(1, len(records)):
            assert list(replay(records[:count]).values()).count(Role.OWNER) == 1
        assert replay(records) == {}


async def test_what_is_asked_of_a_member_who_leaves_meanwhile_happens_before_or_not_at_all(
    tmp_path: Path, mysql: str
) -> None:
    async with open_world(tmp_path, mysql=mysql) as one, open_world(tmp_path, mysql=mysql) as other:
        group_id = await one.group("u1", "u2")
        given, _ = await asyncio.gather(
            one.groups.set_role("u1", group_id, "u2", Role.OWNER),
            other.groups.leave("u2", group_id),
            return_exceptions=True,
        )
        assert not isinstance(given, Exception) or isinstance(given, NotFound)
        assert await one.table(group_id) == {"u1": Role.OWNER}
        assert replay(await one.records(group_id)) == {"u1": Role.OWNER}


async def test_a_change_that_fails_leaves_nothing(tmp_path: Path, mysql: str) -> None:
    """The members, the version and the record belong together, also when the block ends badly after all were written."""
    async with open_world(tmp_path, mysql=mysql) as world:
        group_id = await world.group("u1", "u2")
        before = await world.groups.get("u1", group_id), await world.table(group_id), await world.records(group_id)
        with pytest.raises(StonechatError, match="in the end"):
            await leave_but_fail(world, "u2", group_id)
        after = await world.groups.get("u1", group_id), await world.table(group_id), await world.records(group_id)
        assert after == before


async def leave_but_fail(world: World, user_id: str, group_id: str) -> None:
    async with world.store.locked(group_id, user_id) as locked:
        await locked.apply(Change(group_id, locked.membership.group.version + 1, user_id, left=(user_id,)))
        raise StonechatError("in the end")
