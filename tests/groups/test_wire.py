"""Requests become what was asked for, and nothing else does; answers become what clients read."""

import base64

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.groups.v1 import group_service_pb2 as pb
from stonechat.groups.v1 import membership_pb2
from svc.groups import wire
from svc.groups.model import Change, Group, Member, Membership, NewGroup, Role
from svc.kernel.errors import InvalidField
from svc.kernel.record import Kind, Record

LARGEST = str((1 << 63) - 1)
TOO_LARGE = str(1 << 63)


def test_requests() -> None:
    assert wire.new_group(
        pb.CreateGroupRequest(name="Chess", member_ids=["u2", "u3"], client_request_id="request-1")
    ) == NewGroup("Chess", ("u2", "u3"), "request-1")
    assert wire.added(pb.AddMembersRequest(user_ids=["u2", f"u{LARGEST}"])) == ("u2", f"u{LARGEST}")
    assert wire.group_id(f"g{LARGEST}") == f"g{LARGEST}"
    assert wire.page_size(pb.ListMembersRequest()) == 100
    assert wire.page_size(pb.ListMembersRequest(page_size=7)) == 7


@pytest.mark.parametrize("text", ["", "2", "u", "u0", "u02", "u2 ", "u2\n", "U2", "u\uff12", "g2", f"u{TOO_LARGE}"])
def test_what_is_no_user_id_is_refused_by_the_name_of_its_field(text: str) -> None:
    for field, parse in {
        "user_id": lambda: wire.user_id(text),
        "member_ids": lambda: wire.new_group(pb.CreateGroupRequest(name="Chess", member_ids=["u2", text])),
        "user_ids": lambda: wire.added(pb.AddMembersRequest(user_ids=["u2", text])),
    }.items():
        with pytest.raises(InvalidField) as caught:
            parse()
        assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "2", "g0", "g02", "g2\n", "u2", f"g{TOO_LARGE}"])
def test_what_is_no_group_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        wire.group_id(text)
    assert caught.value.field == "group_id"


def test_roles_have_the_numbers_of_the_contract() -> None:
    """Roles are parsed and stored by number."""
    contract = {name.removeprefix("ROLE_"): number for name, number in membership_pb2.Role.items() if number}
    assert {role.name: role.value for role in Role} == contract
    for role in Role:
        assert wire.member(Member("u1", role)).role == role


def test_a_group_as_its_member_sees_it() -> None:
    membership = Membership(Group("g7", "Chess", 3, 9, 1_800_000_000_000_001), Role.ADMIN)
    assert wire.group(membership) == pb.Group(
        group_id="g7",
        name="Chess",
        member_count=3,
        version=9,
        role=membership_pb2.ROLE_ADMIN,
        create_time=Timestamp(seconds=1_800_000_000, nanos=1000),
    )


def test_a_change_as_a_record() -> None:
    change = Change("g7", 9, "u1", (Member("u2", Role.MEMBER),), ("u3",), (Member("u4", Role.OWNER),), "Go")
    body = membership_pb2.MembershipChange(
        version=9,
        joined=[membership_pb2.Member(user_id="u2", role=membership_pb2.ROLE_MEMBER)],
        left=["u3"],
        changed=[membership_pb2.Member(user_id="u4", role=membership_pb2.ROLE_OWNER)],
        name="Go",
    ).SerializeToString()
    expected = Record(Kind.MEMBERSHIP, "g7", "u1", "~membership.9", 77, body, version=9, joined=("u2",), left=("u3",))
    assert wire.record(change, 77) == expected


def test_a_page_token_leads_behind_the_last_member_of_its_page() -> None:
    token = wire.page_token(f"g{LARGEST}", f"u{LARGEST}")
    assert len(token) <= 128
    assert wire.after(pb.ListMembersRequest(group_id=f"g{LARGEST}", page_token=token)) == f"u{LARGEST}"
    assert wire.page_token("g7", "") == ""
    assert wire.after(pb.ListMembersRequest(group_id="g7")) == ""


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        wire.page_token("g8", "u2"),  # of another group
        _encoded("conversations.g7.u2"),  # of another list
        _encoded("members.g7.u02"),
        _encoded(f"members.g7.u{TOO_LARGE}"),
        _encoded("members.g7.u2\n"),
        _encoded("members.g7."),
        _encoded("u2"),
        wire.page_token("g7", "u2") + "=",
        wire.page_token("g7", "u2") + "!",
        " " + wire.page_token("g7", "u2"),
        wire.page_token("g7", "u2")[:-1],
        "u2",
        "a",
        "\x00",
        "ü",
        "/w==",
    ],
)
def test_a_page_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidField) as caught:
        wire.after(pb.ListMembersRequest(group_id="g7", page_token=token))
    assert caught.value.field == "page_token"
