"""The rows of a conversation: days, who came and went, and messages that belong together."""

from datetime import datetime, timedelta

import pytest

from stonechat.groups.v1.membership_pb2 import Member, MembershipChange
from stonechat_client import Client
from stonechat_client.cache import Device, MemoryCache
from stonechat_client.chat.app.entries import Entry, entries
from stonechat_client.chat.known import Known
from stonechat_client.chat.names import Names
from stonechat_client.timeline import TimelineMembership, TimelineMessage

NOW = datetime(2026, 11, 25, 12, 0).astimezone()


@pytest.fixture
async def names():
    cache = MemoryCache()
    cache.keep_device(Device("u1", "v1", "token"))
    known = Known(None)
    known.users["u2"] = "bob"
    async with Client("http://127.0.0.1:1", cache) as client:
        await client.resume()
        yield Names(client, known, "alice", lambda: None)


def message(seq, sender, minutes_ago, **others):
    at = NOW - timedelta(minutes=minutes_ago)
    return TimelineMessage(seq, f"m1.{seq}", f"k{seq}", sender, at, f"text {seq}", **others)


def shown(items, names, unread=range(0)):
    rows = entries(items, names, "u1", unread, NOW)
    return [f"{row.sender}: {row.body}" if isinstance(row, Entry) else f"-- {row.text}" for row in rows]


async def test_messages_of_one_person_shortly_after_each_other_have_one_name(names):
    items = [message(1, "u2", 30), message(2, "u2", 29), message(3, "u2", 20), message(4, "u1", 20)]
    assert shown(items, names) == ["-- Today", "bob: text 1", ": text 2", "bob: text 3", "you: text 4"]


async def test_days_and_members_stand_between_messages(names):
    change = MembershipChange(version=2, joined=[Member(user_id="u2")])
    items = [
        message(1, "u1", 24 * 60),
        TimelineMembership(2, "u1", NOW - timedelta(minutes=2), change),
        message(3, "u1", 1),
    ]
    rows = ["-- Yesterday", "you: text 1", "-- Today", "-- you added bob · 11:58", "you: text 3"]
    assert shown(items, names) == rows


async def test_the_new_begins_with_the_first_unread_message_of_somebody_else(names):
    items = [message(seq, sender, 10) for seq, sender in ((1, "u2"), (2, "u1"), (3, "u2"), (4, "u2"))]
    rows = ["-- Today", "bob: text 1", "you: text 2", "bob: text 3", ": text 4"]
    assert shown(items, names) == rows
    rows.insert(3, "-- new")
    assert shown(items, names, range(2, 5)) == rows


async def test_what_looks_the_same_is_equal_and_what_does_not_is_not(names):
    def one(**others):
        return list(entries([message(1, "u2", 5, **others)], names, "u1", range(0), NOW))[1]

    assert one() == one()
    assert one(reactions={"👍": ("u1", "u2")}).reactions == (("👍", 2, True),)
    assert one() != one(edited=True)
    assert one(reactions={"👍": ("u1",)}) != one(reactions={"👍": ("u2",)})
