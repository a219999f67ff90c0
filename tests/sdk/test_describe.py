"""Events as people read them."""

import re

import pytest

from stonechat.groups.v1.membership_pb2 import Member, MembershipChange, Role
from stonechat.history.v1.history_service_pb2 import Message as StoredMessage
from stonechat.messaging.v1.conversation_event_pb2 import (
    ConversationEvent,
    ConversationJoined,
    ConversationLeft,
    ConversationOpened,
    Edit,
    Message,
    Reaction,
    Unprocessable,
    Withdrawal,
)
from stonechat.users.v1.user_service_pb2 import User
from stonechat_client import CallFailed
from stonechat_client.chat.describe import describe, describe_stored
from stonechat_client.chat.names import Names, direct, other_user

USERS = {"u2": "bob", "u3": "carol"}


class Directory:
    """The calls that names are asked with. u1 is signed in."""

    user_id = "u1"

    async def get_user(self, user_id):
        if user_id not in USERS:
            raise CallFailed("NOT_FOUND", "NOT_FOUND", "no such user")
        return User(user_id=user_id, username=USERS[user_id])

    async def get_group(self, group_id):
        raise CallFailed("NOT_FOUND", "NOT_FOUND", "no such group")


@pytest.fixture
def names():
    found = Names(Directory())
    found.call_group("g9", "Birds")
    return found


def event(sender="u2", **body):
    return ConversationEvent(conversation_id="g9", seq=4, sender_id=sender, **body)


async def said(names, happened):
    line = await describe(happened, names, happened.sender_id == "u1")
    # Without the time, which depends on where the test runs.
    return None if line is None else re.sub(r"^\d\d \w+ \d\d:\d\d ", "", line.text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": Message(type="text", content="hi\x1b")}, "#4 bob: hi\ufffd"),
        ({"message": Message()}, "#4 bob took this message back"),
        ({"edit": Edit(message_id="m1.3", content="hi")}, "bob edited #3: hi"),
        ({"edit": Edit(message_id="m1.3")}, None),
        ({"withdrawal": Withdrawal(message_id="m1.3")}, "bob took #3 back"),
        ({"reaction": Reaction(message_id="m1.3", emoji="👍")}, "bob reacted with 👍 on #3"),
        ({"reaction": Reaction(message_id="m1.3", emoji="👍", removed=True)}, "bob took back 👍 on #3"),
        ({"joined": ConversationJoined(conversation_id="g9")}, "you are in the group Birds now: /to Birds"),
        ({"left": ConversationLeft(conversation_id="g9")}, "you are no longer in the group Birds"),
        ({"left": ConversationLeft(conversation_id="g8")}, "you are no longer in the group g8"),
        ({"opened": ConversationOpened()}, None),
        ({"unprocessable": Unprocessable()}, None),
        ({}, None),
    ],
)
async def test_an_event_is_a_line_or_nothing(names, body, expected):
    assert await said(names, event(**body)) == expected


@pytest.mark.parametrize(
    ("sender", "change", "expected"),
    [
        (
            "u2",
            MembershipChange(version=1, name="Birds", joined=[Member(user_id=user) for user in ("u2", "u1", "u3")]),
            "bob created the group Birds, added you, carol",
        ),
        ("u1", MembershipChange(version=2, joined=[Member(user_id="u404")]), "you added u404"),
        ("u2", MembershipChange(version=3, left=["u2"], changed=[Member(user_id="u3", role=Role.ROLE_OWNER)]),
         "bob left, made carol the owner"),
        ("u2", MembershipChange(version=4, left=["u3"]), "bob removed carol"),
        ("u2", MembershipChange(version=5, name="Owls"), "bob named the group Owls"),
        ("system", MembershipChange(version=6, left=["u3"]), "removed carol"),
        ("u2", MembershipChange(version=7), None),
    ],
)  # fmt: skip
async def test_a_change_of_members_says_who_did_what(names, sender, change, expected):
    assert await said(names, event(sender, membership=change)) == expected


async def test_a_stored_message_is_shown_in_its_newest_form(names):
    stored = StoredMessage(seq=4, sender_id="u1", content="hi", type="text", edited=True)
    assert (await describe_stored(stored, names, own=True)).text.endswith("#4 you: hi (edited) ✓")
    stored = StoredMessage(seq=4, sender_id="u2", withdrawn=True)
    assert (await describe_stored(stored, names, own=False)).text.endswith("#4 bob took this message back")


async def test_a_direct_conversation_is_called_after_the_other_user(names):
    assert await names.conversation("d.u1.u2") == "bob"


def test_ids_of_direct_conversations_have_the_lower_user_first():
    assert direct("u10", "u9") == direct("u9", "u10") == "d.u9.u10"
    assert (other_user("d.u9.u10", "u9"), other_user("d.u9.u10", "u10"), other_user("g9", "u9")) == ("u10", "u9", "")
