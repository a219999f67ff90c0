"""Groups: who is in gets everything, who is out nothing beyond, on every surface alike."""

import asyncio

import pytest

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.groups.v1.membership_pb2 import ROLE_MEMBER, ROLE_OWNER
from stonechat.history.v1 import history_service_pb2 as history
from tests.mesh.device import Device
from tests.mesh.people import People, direct
from tests.mesh.refusal import Refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def group_of(owner: Device, *members: Device) -> str:
    """A group, once all of them know that they are in it."""
    request = groups.CreateGroupRequest(name="us", member_ids=[member.user_id for member in members])
    group_id = (await owner.call(request)).group_id
    for device in (owner, *members):
        await device.until_event(group_id, "membership")
    return str(group_id)


async def test_a_group_talks(people: People, surface: str):
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    request = groups.CreateGroupRequest(
        name="the three of us", member_ids=[bob.user_id, carol.user_id], client_request_id="g"
    )
    created = await alice.call(request)
    assert (await alice.call(request)).group_id == created.group_id
    assert (created.group.name, created.group.member_count, created.group.role) == ("the three of us", 3, ROLE_OWNER)
    group_id = created.group_id
    for device in (alice, bob, carol):
        event = await device.until_event(group_id, "membership")
        assert event.seq == 1
        assert {member.user_id for member in event.membership.joined} == {
            alice.user_id, bob.user_id, carol.user_id
        }  # fmt: skip
        assert event.membership.name == "the three of us"
    await bob.send(group_id, "hello both")
    await carol.send(group_id, "hello all")
    for device in (alice, bob, carol):
        await device.until_messages(group_id, ["hello both", "hello all"])


async def test_who_is_added_gets_what_was_and_what_comes(people: People, surface: str):
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    group_id = await group_of(alice, bob)
    await alice.send(group_id, "before")
    added = await alice.call(groups.AddMembersRequest(group_id=group_id, user_ids=[carol.user_id]))
    assert added.group.member_count == 3
    joined = await carol.until_event(carol.inbox, "joined")
    assert joined.joined.conversation_id == group_id
    await carol.until_event(group_id, "membership", count=2)
    await bob.send(group_id, "after")
    for device in (alice, bob, carol):
        await device.until_messages(group_id, ["before", "after"])


async def test_who_is_removed_gets_nothing_beyond(people: People, surface: str):
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    group_id = await group_of(alice, bob, carol)
    await alice.send(group_id, "before")
    await carol.until_messages(group_id, ["before"])
    await alice.call(groups.RemoveMemberRequest(group_id=group_id, user_id=carol.user_id))
    left = await carol.until_event(carol.inbox, "left")
    assert (left.left.conversation_id, left.left.seq) == (group_id, 3)
    await alice.send(group_id, "after")
    await bob.until_messages(group_id, ["before", "after"])
    # What comes later, in another conversation, shows that nothing of the group came in between.
    await alice.send(carol.user_id, "sorry")
    await carol.until(
        lambda: any("sorry" in carol.messages(name) for name in carol.books), "the message that came last"
    )
    assert carol.messages(group_id) == ["before"]
    assert carol.books[group_id][-1].seq == 3
    with pytest.raises(Refused) as refused:
        await carol.call(history.ListMessagesRequest(conversation_id=group_id))
    assert refused.value == Refused("NOT_FOUND", "NOT_FOUND", ("conversation_id",))
    with pytest.raises(Refused) as refused:
        await carol.send(group_id, "let me back in")
    assert refused.value == Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("to",))
    assert group_id not in await carol.heads()


async def test_a_removal_has_its_place_among_messages(people: People, surface: str):
    """Whatever is sent at the same moment: all see what was before the removal, and who is out nothing that came after."""
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    group_id = await group_of(alice, bob, carol)
    removal = groups.RemoveMemberRequest(group_id=group_id, user_id=carol.user_id)
    await asyncio.gather(alice.call(removal), *(alice.send(group_id, f"{number}") for number in range(30)))
    last = (await bob.until_event(group_id, "membership", count=2)).seq
    await alice.send(group_id, "after")
    await carol.until_event(carol.inbox, "left")
    await alice.send(carol.user_id, "sorry")
    await carol.until_messages(direct(alice, carol), ["sorry"])
    await bob.until(lambda: "after" in bob.messages(group_id), "what came after")
    assert carol.books[group_id] == bob.books[group_id][:last]


async def test_who_comes_back_gets_everything_again(people: People, surface: str):
    alice, bob = await people.two(surface)
    group_id = await group_of(alice, bob)
    await alice.call(groups.RemoveMemberRequest(group_id=group_id, user_id=bob.user_id))
    await bob.until_event(bob.inbox, "left")
    await alice.send(group_id, "without bob")
    await alice.call(groups.AddMembersRequest(group_id=group_id, user_ids=[bob.user_id]))
    await bob.until_event(bob.inbox, "joined", count=2)
    await alice.send(group_id, "with bob")
    await bob.until_messages(group_id, ["without bob", "with bob"])


async def test_who_leaves_is_out_on_every_device(people: People, surface: str):
    alice = await people.device(surface)
    name = await people.register()
    bob, bob_too = await people.device(surface, name), await people.device(surface, name)
    group_id = await group_of(alice, bob)
    await bob.call(groups.LeaveGroupRequest(group_id=group_id))
    for device in (bob, bob_too):
        await device.until_event(device.inbox, "left")
    assert (await alice.until_event(group_id, "membership", count=2)).membership.left == [bob.user_id]
    with pytest.raises(Refused) as refused:
        await bob.call(groups.LeaveGroupRequest(group_id=group_id))
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_a_member_may_not_remove_anybody(people: People, surface: str):
    alice, bob = await people.two(surface)
    group_id = await group_of(alice, bob)
    with pytest.raises(Refused) as refused:
        await bob.call(groups.RemoveMemberRequest(group_id=group_id, user_id=alice.user_id))
    assert (refused.value.code, refused.value.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    members = await bob.call(groups.ListMembersRequest(group_id=group_id))
    assert {member.user_id: member.role for member in members.members} == {
        alice.user_id: ROLE_OWNER, bob.user_id: ROLE_MEMBER
    }  # fmt: skip


async def test_a_group_of_others_is_not_there(people: People, surface: str):
    alice, bob = await people.two(surface)
    eve = await people.device(surface)
    group_id = await group_of(alice, bob)
    for name in (group_id, "g1"):
        with pytest.raises(Refused) as refused:
            await eve.call(groups.GetGroupRequest(group_id=name))
        assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "NOT_FOUND")
