"""Changes of a group as people read them, and what ids say."""

import pytest

from stonechat.groups.v1.membership_pb2 import Member, MembershipChange, Role
from stonechat_client import Client
from stonechat_client.cache import Device, MemoryCache
from stonechat_client.chat import ids
from stonechat_client.chat.describe import membership
from stonechat_client.chat.known import Known
from stonechat_client.chat.names import Names


@pytest.fixture
async def names():
    """Names that are known already: nothing is asked for."""
    cache = MemoryCache()
    cache.keep_device(Device("u1", "v1", "token"))
    known = Known(None)
    known.users.update(u2="bob", u3="carol")
    async with Client("http://127.0.0.1:1", cache) as client:
        await client.resume()
        yield Names(client, known, "alice", lambda: None)


@pytest.mark.parametrize(
    ("sender", "change", "expected"),
    [
        (
            "u2",
            MembershipChange(version=1, name="Birds", joined=[Member(user_id=user) for user in ("u2", "u1", "u3")]),
            "bob created the group Birds, added you, carol",
        ),
        ("u1", MembershipChange(version=2, joined=[Member(user_id="u404")]), "you added u404"),
        (
            "u2",
            MembershipChange(version=3, left=["u2"], changed=[Member(user_id="u3", role=Role.ROLE_OWNER)]),
            "bob left, made carol the owner",
        ),
        ("u2", MembershipChange(version=4, left=["u3"]), "bob removed carol"),
        ("u2", MembershipChange(version=5, name="Owls\x1b[2J"), "bob named the group Owls\ufffd[2J"),
        ("system", MembershipChange(version=6, left=["u3"]), "removed carol"),
        ("u2", MembershipChange(version=7), ""),
    ],
)
async def test_a_change_of_members_says_who_did_what(names, sender, change, expected):
    assert membership(change, sender, names) == expected


async def test_a_direct_conversation_is_called_after_the_other_user(names):
    assert (names.conversation("d.u1.u2"), names.user("u1"), names.person("u1")) == ("bob", "alice", "you")


def test_ids_of_direct_conversations_have_the_lower_user_first():
    assert ids.direct("u10", "u9") == ids.direct("u9", "u10") == "d.u9.u10"
    assert [ids.other_user("d.u9.u10", user) for user in ("u9", "u10")] == ["u10", "u9"]
    assert ids.other_user("g9", "u9") == ""
    assert (ids.address("d.u9.u10", "u9"), ids.address("g1", "u9")) == ("u10", "g1")
    assert [ids.addressed(to, "u9") for to in ("u10", "g1", "d.u9.u10")] == ["d.u9.u10", "g1", "d.u9.u10"]
