"""The service as clients meet it: over gRPC, behind the whole call chain."""

import re
from pathlib import Path
from typing import Any

import pytest

from stonechat.groups.v1 import group_service_pb2 as pb
from stonechat.groups.v1.membership_pb2 import ROLE_ADMIN, ROLE_MEMBER, ROLE_OWNER, Member
from svc.kernel import errors
from svc.kernel.record import Kind
from tests.groups.surface import Surface, open_surface
from tests.groups.world import NOBODY, replay

MANY = [f"u{number}" for number in range(1, 102)]


async def create(surface: Surface, owner: str, *members: str, **fields: Any) -> str:
    request = pb.CreateGroupRequest(**{"name": "Chess", "member_ids": members} | fields)
    return (await surface.call(owner, "CreateGroup", request)).group_id


async def test_the_life_of_a_group(surface: Surface) -> None:
    """Every call does what the contract says, and all of it reaches the log in order."""
    created = await surface.call("u1", "CreateGroup", pb.CreateGroupRequest(name="Chess", member_ids=["u2", "u3"]))
    group_id = created.group_id
    assert re.fullmatch("g[1-9][0-9]*", group_id)
    expected = pb.Group(group_id=group_id, name="Chess", member_count=3, version=1, role=ROLE_OWNER)
    expected.create_time.CopyFrom(created.group.create_time)
    assert created.group == expected

    renamed = await surface.call("u1", "RenameGroup", pb.RenameGroupRequest(group_id=group_id, name="Go"))
    assert (renamed.group.name, renamed.group.version) == ("Go", 2)
    added = await surface.call("u1", "AddMembers", pb.AddMembersRequest(group_id=group_id, user_ids=["u4"]))
    assert (added.group.member_count, added.group.version) == (4, 3)
    promoted = await surface.call("u1", "SetRole", pb.SetRoleRequest(group_id=group_id, user_id="u2", role=ROLE_OWNER))
    assert (promoted.group.role, promoted.group.version) == (ROLE_ADMIN, 4)
    removed = await surface.call("u1", "RemoveMember", pb.RemoveMemberRequest(group_id=group_id, user_id="u3"))
    assert (removed.group.member_count, removed.group.version) == (3, 5)
    assert await surface.call("u2", "LeaveGroup", pb.LeaveGroupRequest(group_id=group_id)) == pb.LeaveGroupResponse()

    seen = await surface.call("u4", "GetGroup", pb.GetGroupRequest(group_id=group_id))
    assert (seen.group.role, seen.group.version, seen.group.member_count) == (ROLE_MEMBER, 6, 2)
    listed = await surface.call("u4", "ListMembers", pb.ListMembersRequest(group_id=group_id))
    assert list(listed.members) == [Member(user_id="u1", role=ROLE_OWNER), Member(user_id="u4", role=ROLE_MEMBER)]
    assert listed.next_page_token == ""

    records = await surface.sent(6)
    assert {record.kind for record in records} == {Kind.MEMBERSHIP}
    assert [record.sender_id for record in records] == ["u1", "u1", "u1", "u1", "u1", "u2"]
    assert replay(records) == {member.user_id: member.role for member in listed.members}


async def test_a_repeated_request_is_answered_as_the_first_was(surface: Surface) -> None:
    request = pb.CreateGroupRequest(name="Chess", member_ids=["u2"], client_request_id="request-1")
    assert await surface.call("u1", "CreateGroup", request) == await surface.call("u1", "CreateGroup", request)
    request.name = "Go"
    with pytest.raises(errors.IdempotencyConflict) as caught:
        await surface.call("u1", "CreateGroup", request)
    assert caught.value.field == "client_request_id"


async def test_pages_have_every_member_once(surface: Surface) -> None:
    group_id = await create(surface, "u1", *(f"u{number}" for number in range(2, 9)))
    request, seen = pb.ListMembersRequest(group_id=group_id, page_size=3), []
    while True:
        page = await surface.call("u5", "ListMembers", request)
        seen.append([member.user_id for member in page.members])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [["u1", "u2", "u3"], ["u4", "u5", "u6"], ["u7", "u8"]]


async def test_a_page_token_is_good_for_its_own_group_only(surface: Surface) -> None:
    one, other = await create(surface, "u1", "u2"), await create(surface, "u1", "u2")
    page = await surface.call("u1", "ListMembers", pb.ListMembersRequest(group_id=one, page_size=1))
    with pytest.raises(errors.InvalidField) as caught:
        await surface.call("u1", "ListMembers", pb.ListMembersRequest(group_id=other, page_token=page.next_page_token))
    assert caught.value.field == "page_token"


async def test_rules_come_back_as_the_errors_of_the_contract(surface: Surface) -> None:
    group_id = await create(surface, "u1", "u2")
    with pytest.raises(errors.PermissionDenied):
        await surface.call("u2", "RenameGroup", pb.RenameGroupRequest(group_id=group_id, name="Go"))
    with pytest.raises(errors.NotFound) as caught:
        await surface.call("u3", "GetGroup", pb.GetGroupRequest(group_id=group_id))
    assert caught.value.field == "group_id"
    request = pb.AddMembersRequest(group_id=group_id, user_ids=[f"u{number}" for number in range(3, 12)])
    with pytest.raises(errors.GroupFull):
        await surface.call("u1", "AddMembers", request)
    with pytest.raises(errors.Unauthenticated):
        await surface.call("", "GetGroup", pb.GetGroupRequest(group_id=group_id))


async def test_while_nobody_can_say_who_exists_nobody_is_added(surface: Surface) -> None:
    """UNAVAILABLE, and everything that needs no other service goes on."""
    group_id = await create(surface, "u1", "u2")
    await surface.without_accounts()
    with pytest.raises(errors.Unavailable):
        await surface.call("u1", "AddMembers", pb.AddMembersRequest(group_id=group_id, user_ids=["u3"]))
    seen = await surface.call("u2", "GetGroup", pb.GetGroupRequest(group_id=group_id))
    assert (seen.group.member_count, seen.group.version) == (2, 1)


async def test_restarting_loses_nothing(tmp_path: Path, mysql: str) -> None:
    request = pb.CreateGroupRequest(name="Chess", member_ids=["u2"], client_request_id="request-1")
    async with open_surface(tmp_path, mysql) as before:
        created = await before.call("u1", "CreateGroup", request)
    async with open_surface(tmp_path, mysql) as after:
        assert await after.call("u1", "CreateGroup", request) == created
        assert [record.version for record in await after.sent(1)] == [1]


BAD = [
    ("CreateGroup", "name", pb.CreateGroupRequest()),
    ("CreateGroup", "name", pb.CreateGroupRequest(name="x" * 101)),
    ("CreateGroup", "member_ids", pb.CreateGroupRequest(name="x", member_ids=["2"])),
    ("CreateGroup", "member_ids", pb.CreateGroupRequest(name="x", member_ids=["u2", "u2"])),
    ("CreateGroup", "member_ids", pb.CreateGroupRequest(name="x", member_ids=["u9223372036854775808"])),
    ("CreateGroup", "member_ids", pb.CreateGroupRequest(name="x", member_ids=[NOBODY])),
    ("CreateGroup", "member_ids", pb.CreateGroupRequest(name="x", member_ids=MANY)),
    ("CreateGroup", "client_request_id", pb.CreateGroupRequest(name="x", client_request_id="a b")),
    ("CreateGroup", "client_request_id", pb.CreateGroupRequest(name="x", client_request_id="x" * 65)),
    ("GetGroup", "group_id", pb.GetGroupRequest(group_id="u1")),
    ("GetGroup", "group_id", pb.GetGroupRequest(group_id="g9223372036854775808")),
    ("RenameGroup", "group_id", pb.RenameGroupRequest(name="x")),
    ("RenameGroup", "name", pb.RenameGroupRequest(group_id="g1")),
    ("RenameGroup", "name", pb.RenameGroupRequest(group_id="g1", name="x" * 101)),
    ("AddMembers", "group_id", pb.AddMembersRequest(group_id="g01", user_ids=["u2"])),
    ("AddMembers", "user_ids", pb.AddMembersRequest(group_id="g1")),
    ("AddMembers", "user_ids", pb.AddMembersRequest(group_id="g1", user_ids=["g2"])),
    ("AddMembers", "user_ids", pb.AddMembersRequest(group_id="g1", user_ids=["u2", "u2"])),
    ("AddMembers", "user_ids", pb.AddMembersRequest(group_id="g1", user_ids=MANY)),
    ("RemoveMember", "group_id", pb.RemoveMemberRequest(user_id="u2")),
    ("RemoveMember", "user_id", pb.RemoveMemberRequest(group_id="g1", user_id="u0")),
    ("LeaveGroup", "group_id", pb.LeaveGroupRequest()),
    ("SetRole", "group_id", pb.SetRoleRequest(user_id="u2", role=ROLE_ADMIN)),
    ("SetRole", "user_id", pb.SetRoleRequest(group_id="g1", role=ROLE_ADMIN)),
    ("SetRole", "role", pb.SetRoleRequest(group_id="g1", user_id="u2")),
    ("SetRole", "role", pb.SetRoleRequest(group_id="g1", user_id="u2", role=9)),  # type: ignore[arg-type]
    ("ListMembers", "group_id", pb.ListMembersRequest()),
    ("ListMembers", "page_size", pb.ListMembersRequest(group_id="g1", page_size=501)),
    ("ListMembers", "page_token", pb.ListMembersRequest(group_id="g1", page_token="x")),
    ("ListMembers", "page_token", pb.ListMembersRequest(group_id="g1", page_token="x" * 129)),
]


async def test_bad_input_is_refused_by_the_name_of_its_field(surface: Surface) -> None:
    """For every field of every request; INVALID_ARGUMENT before anything else is looked at."""
    for method, field, request in BAD:
        with pytest.raises(errors.InvalidField) as caught:
            await surface.call("u1", method, request)
        assert caught.value.field == field, (method, request)
        assert caught.value.must


def test_every_field_of_every_request_was_tried() -> None:
    fields = {
        (method.name, field.name)
        for method in pb.DESCRIPTOR.services_by_name["GroupService"].methods
        for field in method.input_type.fields
    }
    assert {(method, field) for method, field, _ in BAD} == fields
