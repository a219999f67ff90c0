"""What is asked becomes a record, or is refused with the name of the field that is wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.kernel.errors import InvalidField, NotFound, StonechatError, TargetNotChangeable, Unavailable
from svc.kernel.ids import message_id
from svc.kernel.record import Kind, Record
from svc.kernel.relay import Outcome
from svc.messaging.model import Draft
from tests.messaging.world import ALICE, BOB, CAROL, DIRECT, GROUP, World, draft, named, open_world

MISSING = "g999"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def accept(world: World, user: str, asked: Draft, seconds: float = 5.0) -> Record:
    return await world.node.accept(user, asked, seconds, "")


def message(to: str, key: str = "") -> Draft:
    return Draft(Kind.MESSAGE, to, b"body", key)


async def refused(world: World, user: str, asked: Draft) -> StonechatError:
    with pytest.raises(StonechatError) as caught:
        await accept(world, user, asked)
    return caught.value


async def test_a_message_becomes_a_record(world: World):
    """With all that its verdict needs: sender, key, deadline, and who waits for the answer."""
    record = await accept(world, ALICE, message(BOB, "k1"), seconds=2.0)
    assert (record.kind, record.conversation_id, record.sender_id) == (Kind.MESSAGE, DIRECT, ALICE)
    assert (record.client_message_id, record.body, record.node) == ("k1", b"body", "node")
    assert record.not_after_us == world.clock.us + 2_000_000
    again = await accept(world, ALICE, message(BOB, "k1"))
    assert again.record_id > record.record_id
    assert again.request_id != record.request_id


async def test_without_a_key_of_the_client_the_record_has_its_own(world: World):
    """One that no client can choose, and never the same."""
    one, two = await accept(world, ALICE, message(BOB)), await accept(world, ALICE, message(BOB))
    assert one.client_message_id == f"~{one.record_id}"
    assert one.client_message_id != two.client_message_id


async def test_no_send_waits_longer_than_the_setting_says(tmp_path: Path):
    """Whatever deadline the caller gives."""
    async with open_world(tmp_path, send_timeout_ms=1500) as world:
        record = await accept(world, ALICE, message(BOB), seconds=3600)
        assert record.not_after_us == world.clock.us + 1_500_000


async def test_both_names_of_a_direct_conversation_lead_to_it(world: World):
    """The other user, or the conversation; from both sides."""
    for user, to in ((ALICE, BOB), (ALICE, DIRECT), (BOB, ALICE), (BOB, DIRECT)):
        assert (await accept(world, user, message(to))).conversation_id == DIRECT


@pytest.mark.parametrize(
    "to",
    [ALICE, "u99", "d.u2.u3", "d.u2.u1", "d.u1.u99", GROUP, "inbox.u1", "inbox.u2", "u01", "bob", "", "g0"],
    ids=lambda to: to or "empty",
)
async def test_who_cannot_be_written_to_is_refused_naming_to(world: World, to: str):
    """Oneself, nobody, a conversation or group of others, an inbox, a wrong spelling: all alike."""
    error = await refused(world, ALICE, message(to))
    assert isinstance(error, InvalidField)
    assert (error.field, error.must) == ("to", "must be a user, a group of yours, or a direct conversation of yours")


async def test_members_write_to_a_group(world: World):
    """From the moment they are in until the moment they are out."""
    await world.change_group(joined=(ALICE, BOB))
    assert (await accept(world, BOB, message(GROUP))).conversation_id == GROUP
    assert (await refused(world, CAROL, message(GROUP))).field == "to"
    await world.change_group(left=(BOB,))
    assert (await refused(world, BOB, message(GROUP))).field == "to"
    assert (await accept(world, ALICE, message(GROUP))).conversation_id == GROUP


async def test_who_has_just_been_added_may_write_at_once(world: World):
    """Before the group's own event of it is stored."""
    world.people.members.add((ALICE, GROUP))
    assert (await accept(world, ALICE, message(GROUP))).conversation_id == GROUP


async def test_a_session_s_membership_is_believed_only_while_it_is_told_of_changes(world: World):
    """Without the owner a member may have been removed long ago: then the store is asked."""
    await world.change_group(joined=(ALICE, BOB))
    session = await world.enter(BOB)
    assert session.sees(GROUP)
    # The owner's word of the removal does not reach the node.
    streams, owner = world.stand.delivery.streams, world.stand.delivery.streams.owner
    assert owner is not None
    streams.owner = None
    owner.hub.close_all()
    await world.change_group(left=(BOB,))
    async with asyncio.timeout(10):
        while session.sees(GROUP):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
    assert session.is_in(GROUP)
    assert (await refused(world, BOB, message(GROUP))).field == "to"


async def test_when_it_is_not_known_who_exists_nothing_is_accepted(world: World):
    """Unavailable is no refusal: it may be repeated."""

    async def down(user_id: str) -> bool:
        raise Unavailable("no users now")

    world.people.user_exists = down  # type: ignore[method-assign]
    assert isinstance(await refused(world, ALICE, message(BOB)), Unavailable)


CHANGES = [Kind.EDIT, Kind.WITHDRAWAL, Kind.REACTION]


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
async def test_a_change_names_its_target(world: World, kind: Kind):
    """By place and record, so that the verdict needs no more."""
    sent = await world.send(ALICE, BOB, "hello")
    record = await accept(world, ALICE, draft(kind, DIRECT, named(sent), "k"))
    assert (record.kind, record.conversation_id, record.client_message_id) == (kind, DIRECT, "k")
    assert (record.target_seq, record.target_record_id) == (1, sent[1].record_id)


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("conversation_id", [MISSING, "d.u2.u3", "inbox.u1", BOB, ""], ids=lambda name: name or "empty")
async def test_a_change_elsewhere_is_refused_naming_the_conversation(world: World, kind: Kind, conversation_id: str):
    """Missing and foreign ones alike; an inbox is nobody's to write."""
    sent = await world.send(ALICE, BOB, "hello")
    error = await refused(world, ALICE, draft(kind, conversation_id, named(sent)))
    assert isinstance(error, NotFound)
    assert error.field == "conversation_id"


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
async def test_a_target_that_is_no_message_here_is_refused_naming_it(world: World, kind: Kind):
    """Not there yet, of another conversation, of another record, a change itself, or no message id at all."""
    sent = await world.send(ALICE, BOB, "hello")
    elsewhere = await world.send(ALICE, CAROL, "hello")
    reaction = await world.node.send(ALICE, draft(Kind.REACTION, DIRECT, named(sent)), 60.0, "")
    wrong = [message_id(sent[1].record_id, 9), message_id(sent[1].record_id + 1, 1)]
    for target in (*wrong, named(elsewhere), named(reaction), "m1", ""):
        error = await refused(world, ALICE, draft(kind, DIRECT, target))
        assert isinstance(error, NotFound)
        assert error.field == "message_id"


async def test_only_its_sender_changes_a_message_and_everybody_reacts(world: World):
    """What is not yours answers as if it were not there."""
    sent = await world.send(ALICE, BOB, "hello")
    for kind in (Kind.EDIT, Kind.WITHDRAWAL):
        error = await refused(world, BOB, draft(kind, DIRECT, named(sent)))
        assert isinstance(error, NotFound)
        assert error.field == "message_id"
    assert (await accept(world, BOB, draft(Kind.REACTION, DIRECT, named(sent)))).target_seq == 1


async def test_what_was_withdrawn_stays_so(world: World):
    """No edit and no reaction any more; withdrawing it again does no harm."""
    sent = await world.send(ALICE, BOB, "hello")
    await world.node.send(ALICE, draft(Kind.WITHDRAWAL, DIRECT, named(sent)), 60.0, "")
    for kind in (Kind.EDIT, Kind.REACTION):
        error = await refused(world, ALICE, draft(kind, DIRECT, named(sent)))
        assert isinstance(error, TargetNotChangeable)
        assert error.field == "message_id"
    _, answer = await world.node.send(ALICE, draft(Kind.WITHDRAWAL, DIRECT, named(sent)), 60.0, "")
    assert answer.outcome is Outcome.STORED


async def test_a_send_gets_the_answer_of_the_log(world: World):
    """Stored, a repeat with the first one's answer, a conflict naming the key."""
    record, first = await world.send(ALICE, BOB, "hello", "k")
    _, again = await world.send(ALICE, BOB, "hello", "k")
    assert (first.outcome, first.seq, first.record_id) == (Outcome.STORED, 1, record.record_id)
    assert (again.outcome, again.seq, again.record_id, again.time_us) == (
        Outcome.REPEAT,
        1,
        first.record_id,
        first.time_us,
    )
    with pytest.raises(StonechatError) as caught:
        await world.send(ALICE, BOB, "something else", "k")
    assert (caught.value.reason, caught.value.field) == ("IDEMPOTENCY_CONFLICT", "client_message_id")


async def test_what_reaches_the_log_after_its_deadline_is_not_sent(world: World):
    """Its user saw it fail."""
    world.clock.us -= 120_000_000
    with pytest.raises(StonechatError) as caught:
        await world.send(ALICE, BOB, "too late")
    assert caught.value.reason == "EXPIRED"
    world.clock.us += 120_000_000
    _, answer = await world.send(ALICE, BOB, "in time")
    assert answer.seq == 1


async def test_a_traced_message_is_one_trace_through_all_hops(world: World):
    """Accepted, logged, ordered, stored, relayed: and an untraced one makes no span."""
    body, trace = b"", "4bf92f3577b34da6a3ce929d0e0e4736"
    await world.node.send(ALICE, Draft(Kind.MESSAGE, BOB, body, ""), 60.0, f"00-{trace}-00f067aa0ba902b7-00")
    assert world.stand.spans.get_finished_spans() == ()
    await world.node.send(ALICE, Draft(Kind.MESSAGE, BOB, body, ""), 60.0, f"00-{trace}-00f067aa0ba902b7-01")
    spans = world.stand.spans.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {trace}
    assert {span.name for span in spans} == {"accept", "log", "order", "store", "relay"}
