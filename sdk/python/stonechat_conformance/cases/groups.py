"""Groups: who is in gets everything, who is out nothing beyond, on every surface alike."""

import asyncio

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.groups.v1.membership_pb2 import ROLE_MEMBER, ROLE_OWNER
from stonechat.history.v1 import history_service_pb2 as history
from stonechat_conformance.case import case
from stonechat_conformance.device import Device
from stonechat_conformance.expect import must, must_equal, must_refuse
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused


async def group_of(owner: Device, *members: Device) -> str:
    """A group, once all of them know that they are in it."""
    request = groups.CreateGroupRequest(name="us", member_ids=[member.user_id for member in members])
    group_id = (await owner.call(request)).group_id
    for device in (owner, *members):
        await device.until_event(group_id, "membership")
    return str(group_id)


@case()
async def a_group_talks(people: People) -> None:
    """CreateGroup is idempotent by client_request_id; all members are told the same and reach each other."""
    alice, bob = await people.two()
    carol = await people.device()
    request = groups.CreateGroupRequest(
        name="the three of us", member_ids=[bob.user_id, carol.user_id], client_request_id="g"
    )
    created = await alice.call(request)
    must_equal((await alice.call(request)).group_id, created.group_id)
    must_equal((created.group.name, created.group.member_count, created.group.role), ("the three of us", 3, ROLE_OWNER))
    group_id = created.group_id
    for device in (alice, bob, carol):
        event = await device.until_event(group_id, "membership")
        must_equal(event.seq, 1)
        must_equal({member.user_id for member in event.membership.joined}, {alice.user_id, bob.user_id, carol.user_id})
        must_equal(event.membership.name, "the three of us")
    await bob.send(group_id, "hello both")
    await carol.send(group_id, "hello all")
    for device in (alice, bob, carol):
        await device.until_messages(group_id, ["hello both", "hello all"])


@case()
async def who_is_added_gets_what_was_and_what_comes(people: People) -> None:
    """A new member is told, and gets what was and what comes."""
    alice, bob = await people.two()
    carol = await people.device()
    group_id = await group_of(alice, bob)
    await alice.send(group_id, "before")
    added = await alice.call(groups.AddMembersRequest(group_id=group_id, user_ids=[carol.user_id]))
    must_equal(added.group.member_count, 3)
    joined = await carol.until_event(carol.inbox, "joined")
    must_equal(joined.joined.conversation_id, group_id)
    await carol.until_event(group_id, "membership", count=2)
    await bob.send(group_id, "after")
    for device in (alice, bob, carol):
        await device.until_messages(group_id, ["before", "after"])


@case()
async def who_is_removed_gets_nothing_beyond(people: People) -> None:
    """Who is removed is told up to where, gets nothing beyond, and finds nothing any more."""
    alice, bob = await people.two()
    carol = await people.device()
    group_id = await group_of(alice, bob, carol)
    await alice.send(group_id, "before")
    await carol.until_messages(group_id, ["before"])
    await alice.call(groups.RemoveMemberRequest(group_id=group_id, user_id=carol.user_id))
    left = await carol.until_event(carol.inbox, "left")
    must_equal((left.left.conversation_id, left.left.seq), (group_id, 3))
    await alice.send(group_id, "after")
    await bob.until_messages(group_id, ["before", "after"])
    # What comes later, in another conversation, shows that nothing of the group came in between.
    await alice.send(carol.user_id, "sorry")
    await carol.until(
        lambda: any("sorry" in carol.messages(name) for name in carol.books), "the message that came last"
    )
    must_equal(carol.messages(group_id), ["before"])
    must_equal(carol.books[group_id][-1].seq, 3)
    await must_refuse(
        carol.call(history.ListMessagesRequest(conversation_id=group_id)),
        Refused("NOT_FOUND", "NOT_FOUND", ("conversation_id",)),
    )
    await must_refuse(carol.send(group_id, "let me back in"), Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("to",)))
    must(group_id not in await carol.heads(), "the group is not among the conversations of who was removed")


@case()
async def a_removal_has_its_place_among_messages(people: People) -> None:
    """Whatever is sent at the same moment: all see what was before the removal, and who is out nothing that came after."""
    alice, bob = await people.two()
    carol = await people.device()
    group_id = await group_of(alice, bob, carol)
    removal = groups.RemoveMemberRequest(group_id=group_id, user_id=carol.user_id)
    await asyncio.gather(alice.call(removal), *(alice.send(group_id, f"{number}") for number in range(30)))
    last = (await bob.until_event(group_id, "membership", count=2)).seq
    await alice.send(group_id, "after")
    await carol.until_event(carol.inbox, "left")
    await alice.send(carol.user_id, "sorry")
    await carol.until_messages(direct(alice, carol), ["sorry"])
    await bob.until(lambda: "after" in bob.messages(group_id), "what came after")
    must_equal(carol.books[group_id], bob.books[group_id][:last])


@case()
async def who_comes_back_gets_everything_again(people: People) -> None:
    """A member that comes back gets everything again."""
    alice, bob = await people.two()
    group_id = await group_of(alice, bob)
    await alice.call(groups.RemoveMemberRequest(group_id=group_id, user_id=bob.user_id))
    await bob.until_event(bob.inbox, "left")
    await alice.send(group_id, "without bob")
    await alice.call(groups.AddMembersRequest(group_id=group_id, user_ids=[bob.user_id]))
    await bob.until_event(bob.inbox, "joined", count=2)
    await alice.send(group_id, "with bob")
    await bob.until_messages(group_id, ["without bob", "with bob"])


@case()
async def who_leaves_is_out_on_every_device(people: People) -> None:
    """LeaveGroup takes the caller out on all devices and tells the others; a repeat answers NOT_FOUND."""
    alice = await people.device()
    name = await people.register()
    bob, bob_too = await people.device(username=name), await people.device(username=name)
    group_id = await group_of(alice, bob)
    await bob.call(groups.LeaveGroupRequest(group_id=group_id))
    for device in (bob, bob_too):
        await device.until_event(device.inbox, "left")
    must_equal((await alice.until_event(group_id, "membership", count=2)).membership.left, [bob.user_id])
    await must_refuse(
        bob.call(groups.LeaveGroupRequest(group_id=group_id)), Refused("NOT_FOUND", "NOT_FOUND", ("group_id",))
    )


@case()
async def a_member_may_not_remove_anybody(people: People) -> None:
    """A member who is no admin removes nobody: PERMISSION_DENIED."""
    alice, bob = await people.two()
    group_id = await group_of(alice, bob)
    await must_refuse(
        bob.call(groups.RemoveMemberRequest(group_id=group_id, user_id=alice.user_id)),
        Refused("PERMISSION_DENIED", "PERMISSION_DENIED"),
    )
    members = await bob.call(groups.ListMembersRequest(group_id=group_id))
    must_equal(
        {member.user_id: member.role for member in members.members},
        {alice.user_id: ROLE_OWNER, bob.user_id: ROLE_MEMBER},
    )


@case()
async def a_group_of_others_is_not_there(people: People) -> None:
    """A group the caller is not part of answers NOT_FOUND, as one that does not exist does."""
    alice, bob = await people.two()
    eve = await people.device()
    group_id = await group_of(alice, bob)
    for name in (group_id, "g1"):
        await must_refuse(
            eve.call(groups.GetGroupRequest(group_id=name)), Refused("NOT_FOUND", "NOT_FOUND", ("group_id",))
        )
