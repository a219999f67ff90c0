"""The digest of an event is the same whenever it is read; it differs as soon as anything else is said."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from stonechat.messaging.v1.messaging_service_pb2 import ConnectResponse
from stonechat_client.digest import content_digest, digest
from svc.backends.messages_schema import SCHEMA
from svc.backends.sqlite import open_database
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.wire import ProtoEncoder
from svc.history.adapters.sqlite import SqliteMessageStore as History
from svc.history.wire import from_event
from svc.kernel.clock import SystemClock
from svc.kernel.ids import SnowflakeGenerator
from tests.contracts.stored import DIRECT, Story

MESSAGE = {"conversation_id": "d.u1.u2", "seq": 3, "sender_id": "u1", "message_id": "m7.3", "ordinal": 2}


def _message(type="text", content="hello", **changes):
    return ConversationEvent(message={"type": type, "content": content}, **(MESSAGE | changes))


def test_the_form_is_head_dash_content():
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", digest(_message()))
    assert re.fullmatch(r"[0-9a-f]{16}-", digest(ConversationEvent(withdrawal={"message_id": "m1.1"}, **MESSAGE)))
    assert re.fullmatch(r"[0-9a-f]{16}-", digest(ConversationEvent(**MESSAGE)))


def test_the_values_are_the_ones_that_ledgers_hold():
    """Ledgers are kept: a change of these is another version of the format."""
    assert digest(_message()) == "f9ffcfddd2c45083-826c805a687cd631"
    assert content_digest("text", "hello") == digest(_message()).partition("-")[2]


@pytest.mark.parametrize(
    "change",
    [
        {"conversation_id": "d.u1.u3"},
        {"seq": 4},
        {"sender_id": "u2"},
        {"message_id": "m8.3"},
        {"client_message_id": "x"},
        {"ordinal": 3},
        {"timestamp": {"seconds": 1}},
    ],
)
def test_the_head_covers_what_never_changes(change):
    one, other = digest(_message()), digest(_message(**change))
    assert one.partition("-")[0] != other.partition("-")[0]
    assert one.partition("-")[2] == other.partition("-")[2]


@given(st.text(), st.text())
def test_the_content_covers_the_rest(type, content):
    one, other = digest(_message()), digest(_message(type, content))
    assert one.partition("-")[0] == other.partition("-")[0]
    assert (one == other) == ((type, content) == ("text", "hello"))


def test_a_message_differs_from_an_edit_and_edits_of_different_messages_differ():
    edits = [
        ConversationEvent(edit={"message_id": target, "content": "hello", "type": "text"}, **MESSAGE)
        for target in ("m1.1", "m2.2")
    ]
    assert len({digest(event) for event in (_message(), *edits)}) == 3
    assert {digest(event).partition("-")[2] for event in (_message(), *edits)} == {content_digest("text", "hello")}


def test_the_digest_leaves_its_event_alone():
    event = _message()
    digest(event)
    assert event == _message()


async def test_heads_of_what_was_pushed_and_what_is_read_back_after_edit_and_withdrawal_are_equal(tmp_path):
    """From the real encoder of pushes, and from the real store and encoder of ListEvents."""
    story, clock = Story(), SystemClock()
    kept, edited, withdrawn = (story.message(text) for text in ("kept", "edited", "withdrawn"))
    edit = story.edit(edited, "newer")
    undone = story.edit(withdrawn, "rewritten")
    events = [kept, edited, withdrawn, edit, undone, story.withdrawal(withdrawn), story.reaction(kept)]
    events += [story.unprocessable(), story.membership("u11", "u12")]
    encoder = ProtoEncoder(clock, SnowflakeGenerator(clock))
    pushed = {}
    async with open_database(tmp_path / "messages.sqlite", SCHEMA) as database:
        for event in events:
            await SqliteMessageStore(database).write([event])
            (told,) = ConnectResponse.FromString(encoder.frame(event, withdrawn=False)).events
            assert isinstance(told, Event)
            pushed[event.conversation_id, event.seq] = digest(told.conversation_event)
        runs = [await History(database).run_after(name, 0, 100, 1 << 20) for name in (DIRECT, "g77")]
    read = {
        (event.conversation_id, event.seq): digest(ConversationEvent.FromString(from_event(event)))
        for run in runs
        for event in run.events
    }
    assert read.keys() == pushed.keys()
    assert {place: value.partition("-")[0] for place, value in read.items()} == {
        place: value.partition("-")[0] for place, value in pushed.items()
    }
    differ = {place for place, value in read.items() if value != pushed[place]}
    assert differ == {(DIRECT, edited.seq), (DIRECT, withdrawn.seq), (DIRECT, undone.seq)}
    assert read[DIRECT, edited.seq].partition("-")[2] == read[DIRECT, edit.seq].partition("-")[2]
    gone = content_digest("", "")
    assert [read[DIRECT, seq].partition("-")[2] for seq in (withdrawn.seq, undone.seq)] == [gone, gone]
