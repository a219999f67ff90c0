"""Who may do what in a group, and what each change leaves behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stonechat.groups.v1.membership_pb2 import ROLE_ADMIN, ROLE_MEMBER, ROLE_OWNER, MembershipChange
from stonechat.groups.v1.membership_pb2 import Member as MemberOnTheWire
from svc.groups.model import Group, Member, Membership, NewGroup, Role
from svc.kernel.errors import GroupFull, IdempotencyConflict, InvalidField, NotFound, PermissionDenied
from svc.kernel.record import Kind
from tests.groups.world import NOBODY, NOW_US, World, open_world

MEMBER, ADMIN, OWNER = Role


@pytest.fixture
async def small_world(tmp_path: Path, mysql: str) -> AsyncIterator[World]:
    """Groups of three at most."""
    async with open_world(tmp_path, max_members=3, mysql=mysql) as opened:
        yield opened


async def test_the_creator_owns_the_group_and_its_first_change_has_everybody(world: World) -> None:
    created = await world.groups.create("u1", NewGroup("Chess", ("u2", "u3"), ""))
    group_id = created.group.group_id
    assert created == Membership(Group(group_id, "Chess", 3, 1, NOW_US), OWNER)
    assert await world.table(group_id) == {"u1": OWNER, "u2": MEMBER, "u3": MEMBER}
    [record] = await world.records(group_id)
    assert (record.kind, record.conversation_id, record.sender_id) == (Kind.MEMBERSHIP, group_id, "u1")
    assert (record.client_message_id, record.version) == ("~membership.1", 1)
    assert (record.joined, record.left) == (("u1", "u2", "u3"), ())
    assert MembershipChange.FromString(record.body) == MembershipChange(
        version=1,
        name="Chess",
        joined=[
            MemberOnTheWire(user_id="u1", role=ROLE_OWNER),
            MemberOnTheWire(user_id="u2", role=ROLE_MEMBER),
            MemberOnTheWire(user_id="u3", role=ROLE_MEMBER),
        ],
    )


async def test_a_creator_who_names_itself_is_in_once(world: World) -> None:
    created = await world.groups.create("u1", NewGroup("Chess", ("u1", "u2"), ""))
    assert await world.table(created.group.group_id) == {"u1": OWNER, "u2": MEMBER}


async def test_a_repeated_request_gets_the_group_it_made_as_it_is_now(world: World) -> None:
    wanted = NewGroup("Chess", ("u2", "u3"), "request-1")
    first = await world.groups.create("u1", wanted)
    await world.groups.rename("u1", first.group.group_id, "Go")
    again = await world.groups.create("u1", NewGroup("Chess", ("u3", "u2"), "request-1"))
    assert again == await world.groups.get("u1", first.group.group_id)
    assert len(await world.records(first.group.group_id)) == 2


@pytest.mark.parametrize("other", [NewGroup("Go", ("u2",), "request-1"), NewGroup("Chess", ("u3",), "request-1")])
async def test_one_request_id_is_good_for_one_content(world: World, other: NewGroup) -> None:
    await world.groups.create("u1", NewGroup("Chess", ("u2",), "request-1"))
    with pytest.raises(IdempotencyConflict) as caught:
        await world.groups.create("u1", other)
    assert caught.value.field == "client_request_id"


async def test_request_ids_belong_to_their_caller_and_to_their_spelling(world: World) -> None:
    made = [
        await world.groups.create(caller, NewGroup("Chess", (), request_id))
        for caller, request_id in [("u1", "a"), ("u2", "a"), ("u1", "A"), ("u1", ""), ("u1", "")]
    ]
    assert len({membership.group.group_id for membership in made}) == 5


async def test_a_repeat_by_somebody_who_left_finds_no_group(world: World) -> None:
    created = await world.groups.create("u1", NewGroup("Chess", ("u2",), "request-1"))
    await world.groups.leave("u1", created.group.group_id)
    with pytest.raises(NotFound):
        await world.groups.create("u1", NewGroup("Chess", ("u2",), "request-1"))


async def test_unknown_users_are_named_and_nothing_happens(world: World) -> None:
    group_id = await world.group("u1")
    with pytest.raises(InvalidField, match=NOBODY) as caught:
        await world.groups.create("u1", NewGroup("Chess", ("u2", NOBODY, "u998"), "request-1"))
    assert caught.value.field == "member_ids"
    with pytest.raises(InvalidField, match=NOBODY) as caught:
        await world.groups.add("u1", group_id, ["u2", NOBODY, "u998"])
    assert caught.value.field == "user_ids"
    assert await world.table(group_id) == {"u1": OWNER}


async def test_strangers_and_missing_groups_answer_alike(world: World) -> None:
    group_id, answers = await world.group("u1", "u2"), set()
    for named in (group_id, "g999"):
        for call in (
            world.groups.get("u3", named),
            world.groups.rename("u3", named, "Go"),
            world.groups.add("u3", named, [NOBODY]),
            world.groups.remove("u3", named, "u2"),
            world.groups.leave("u3", named),
            world.groups.set_role("u3", named, "u2", ADMIN),
            world.groups.members("u3", named, "", 10),
        ):
            with pytest.raises(NotFound) as caught:
                await call
            answers.add((caught.value.message, caught.value.field))
    assert [field for _, field in answers] == ["group_id"]
    assert len(await world.records(group_id)) == 2


async def test_members_who_are_no_admins_change_nothing_but_their_own_place(world: World) -> None:
    group_id = await world.group("u1", "u2", "u3")
    for call in (
        world.groups.rename("u2", group_id, "Go"),
        world.groups.add("u2", group_id, ["u4"]),
        world.groups.remove("u2", group_id, "u3"),
        world.groups.remove("u2", group_id, "u4"),
        world.groups.set_role("u2", group_id, "u2", ADMIN),
    ):
        with pytest.raises(PermissionDenied):
            await call
    assert len(await world.records(group_id)) == 3


async def test_a_new_name_is_told_once(world: World) -> None:
    group_id = await world.group("u1", "u2", admins=["u2"])
    renamed = await world.groups.rename("u2", group_id, "Go")
    assert (renamed.group.name, renamed.group.version, renamed.role) == ("Go", 4, ADMIN)
    assert await world.groups.rename("u1", group_id, "Go") == Membership(renamed.group, OWNER)
    assert await world.last_change(group_id) == MembershipChange(version=4, name="Go")


async def test_adding_leaves_members_what_they_are(world: World) -> None:
    group_id = await world.group("u1", "u2", admins=["u2"])
    added = await world.groups.add("u2", group_id, ["u3", "u2", "u1", "u4"])
    assert (added.group.member_count, added.group.version) == (4, 4)
    assert await world.table(group_id) == {"u1": OWNER, "u2": ADMIN, "u3": MEMBER, "u4": MEMBER}
    assert (await world.records(group_id))[-1].joined == ("u3", "u4")
    assert await world.groups.add("u2", group_id, ["u4", "u3"]) == added


async def test_a_group_that_would_grow_too_large_takes_nobody(small_world: World) -> None:
    group_id = await small_world.group("u1", "u2")
    with pytest.raises(GroupFull):
        await small_world.groups.add("u1", group_id, ["u3", "u4"])
    assert await small_world.table(group_id) == {"u1": OWNER, "u2": MEMBER}
    await small_world.groups.add("u1", group_id, ["u2", "u3"])
    with pytest.raises(GroupFull):
        await small_world.groups.create("u1", NewGroup("Chess", ("u2", "u3", "u4"), ""))


async def test_admins_remove_members_and_the_owner_removes_anybody(world: World) -> None:
    group_id = await world.group("u1", "u2", "u3", "u4", admins=["u2", "u3"])
    for user_id in ("u1", "u3"):
        with pytest.raises(PermissionDenied):
            await world.groups.remove("u2", group_id, user_id)
    removed = await world.groups.remove("u2", group_id, "u4")
    assert await world.groups.remove("u2", group_id, "u4") == removed, "a repeat changes nothing"
    assert await world.last_change(group_id) == MembershipChange(version=removed.group.version, left=["u4"])
    await world.groups.remove("u1", group_id, "u3")
    assert await world.table(group_id) == {"u1": OWNER, "u2": ADMIN}


async def test_nobody_removes_itself(world: World) -> None:
    group_id = await world.group("u1")
    with pytest.raises(InvalidField) as caught:
        await world.groups.remove("u1", group_id, "u1")
    assert caught.value.field == "user_id"


async def test_the_longest_serving_admin_follows_the_owner(world: World) -> None:
    group_id = await world.group("u1", "u5", "u4", "u3", "u2", admins=["u2", "u4"])
    await world.groups.leave("u1", group_id)
    assert await world.table(group_id) == {"u5": MEMBER, "u4": OWNER, "u3": MEMBER, "u2": ADMIN}
    change = await world.last_change(group_id)
    assert list(change.left) == ["u1"]
    assert list(change.changed) == [MemberOnTheWire(user_id="u4", role=ROLE_OWNER)]


async def test_without_admins_the_longest_serving_member_follows_the_owner(world: World) -> None:
    group_id = await world.group("u1", "u3", "u2")
    await world.groups.remove("u1", group_id, "u3")
    await world.groups.add("u1", group_id, ["u3"])  # who comes back starts anew
    await world.groups.leave("u1", group_id)
    assert await world.table(group_id) == {"u2": OWNER, "u3": MEMBER}


async def test_a_member_who_leaves_is_gone_and_a_repeat_finds_nothing(world: World) -> None:
    group_id = await world.group("u1", "u2")
    await world.groups.leave("u2", group_id)
    with pytest.raises(NotFound):
        await world.groups.leave("u2", group_id)
    assert await world.last_change(group_id) == MembershipChange(version=3, left=["u2"])


async def test_the_last_one_leaves_a_group_that_nobody_sees(world: World) -> None:
    group_id = await world.group("u1")
    await world.groups.leave("u1", group_id)
    assert await world.table(group_id) == {}
    assert await world.last_change(group_id) == MembershipChange(version=2, left=["u1"])
    with pytest.raises(NotFound):
        await world.groups.get("u1", group_id)


async def test_the_owner_gives_and_takes_roles(world: World) -> None:
    group_id = await world.group("u1", "u2")
    given = await world.groups.set_role("u1", group_id, "u2", ADMIN)
    assert await world.groups.set_role("u1", group_id, "u2", ADMIN) == given, "a repeat changes nothing"
    change = await world.last_change(group_id)
    assert list(change.changed) == [MemberOnTheWire(user_id="u2", role=ROLE_ADMIN)]
    with pytest.raises(PermissionDenied):
        await world.groups.set_role("u2", group_id, "u2", MEMBER)
    await world.groups.set_role("u1", group_id, "u2", MEMBER)
    assert await world.table(group_id) == {"u1": OWNER, "u2": MEMBER}


async def test_who_gives_the_group_away_stays_as_an_admin(world: World) -> None:
    group_id = await world.group("u1", "u2")
    given = await world.groups.set_role("u1", group_id, "u2", OWNER)
    assert given.role is ADMIN
    assert await world.table(group_id) == {"u1": ADMIN, "u2": OWNER}
    assert list((await world.last_change(group_id)).changed) == [
        MemberOnTheWire(user_id="u2", role=ROLE_OWNER),
        MemberOnTheWire(user_id="u1", role=ROLE_ADMIN),
    ]
    assert await world.groups.set_role("u1", group_id, "u2", OWNER) == given, "a repeat changes nothing"


async def test_roles_go_to_members_and_the_owner_keeps_its_own(world: World) -> None:
    group_id = await world.group("u1", "u2")
    with pytest.raises(NotFound) as missing:
        await world.groups.set_role("u1", group_id, "u3", ADMIN)
    assert missing.value.field == "user_id"
    with pytest.raises(InvalidField) as caught:
        await world.groups.set_role("u1", group_id, "u1", ADMIN)
    assert caught.value.field == "user_id"
    assert (await world.groups.set_role("u1", group_id, "u1", OWNER)).group.version == 2


async def test_pages_have_everybody_once_in_the_order_of_ids(world: World) -> None:
    group_id = await world.group("u1", "u3", "u2", "u4")
    first, after = await world.groups.members("u4", group_id, "", 3)
    assert first == [Member("u1", OWNER), Member("u2", MEMBER), Member("u3", MEMBER)]
    assert after == "u3"
    assert await world.groups.members("u4", group_id, after, 3) == ([Member("u4", MEMBER)], "")
    assert (await world.groups.members("u4", group_id, "", 4))[1] == "", "a full last page is the last"
