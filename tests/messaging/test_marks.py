"""Read marks: many become one, only upward, and who reads along is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from svc.kernel.errors import NotFound, OutcomeUnknown, StonechatError, Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.relay import Signal
from svc.messaging import marks
from svc.messaging.marks import FLUSH_SECONDS, MarkBoard
from svc.messaging.model import ReadMark
from svc.messaging.wire import ProtoEncoder
from tests.messaging.world import ALICE, BOB, CAROL, DIRECT, StepClock, World, hear, open_world, told


class Stored:
    """`ReadMarks` that keeps each write apart; it may be slow or down."""

    def __init__(self) -> None:
        self.writes: list[list[ReadMark]] = []
        self.down = False
        self.changed = asyncio.Event()

    async def advance(self, marks: Sequence[ReadMark]) -> Sequence[ReadMark]:
        if self.down:
            raise Unavailable("no marks now")
        self.writes.append(list(marks))
        self.changed.set()
        return marks


class Board:
    """A board at work, and what comes of what is put on it."""

    def __init__(self) -> None:
        self.clock, self.stored = StepClock(), Stored()
        self.signals: list[Signal] = []
        self.done: list[StonechatError | None] = []
        self.board = MarkBoard(self.stored, ProtoEncoder(), self.signals.append, self.clock)

    def put(self, user: str, seq: int, conversation_id: str = DIRECT) -> None:
        self.board.put(ReadMark(user, conversation_id, seq), self.done.append)

    async def answered(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.done) < count:  # noqa: ASYNC110 - it is told by a callback
                await asyncio.sleep(0)


@pytest.fixture
async def board() -> AsyncIterator[Board]:
    made = Board()
    async with owned(made.board.run(), "marks"):
        yield made


async def test_marks_of_a_short_while_become_one_write_of_the_highest(board: Board):
    """The first goes at once; what comes within a tenth of a second goes together."""
    board.put(ALICE, 1)
    await board.answered(1)
    for seq in (2, 5, 3):
        board.put(ALICE, seq)
    board.put(BOB, 4)
    await asyncio.sleep(0)
    assert len(board.done) == 1
    board.clock.advance(FLUSH_SECONDS)
    await board.answered(5)
    assert board.stored.writes == [
        [ReadMark(ALICE, DIRECT, 1)],
        [ReadMark(ALICE, DIRECT, 5), ReadMark(BOB, DIRECT, 4)],
    ]
    assert board.done == [None] * 5


async def test_those_that_moved_are_signalled_once_each(board: Board):
    """Under a key of their user, so that the newest replaces older ones on the way."""
    board.put(ALICE, 7)
    await board.answered(1)
    (signal,) = board.signals
    assert (signal.conversation_id, signal.key) == (DIRECT, f"read {ALICE}")
    (event,) = told(signal.frame)
    assert (event.read_mark.user_id, event.read_mark.seq) == (ALICE, 7)


async def test_what_cannot_be_stored_is_said_to_those_who_wait(board: Board):
    """And the next ones are tried anew."""
    board.stored.down = True
    board.put(ALICE, 1)
    await board.answered(1)
    assert isinstance(board.done[0], Unavailable)
    board.stored.down = False
    board.put(ALICE, 1)
    board.clock.advance(FLUSH_SECONDS)
    await board.answered(2)
    assert board.done[1] is None
    assert len(board.signals) == 1


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """Who comes then is told to come back."""
    monkeypatch.setattr(marks, "MAX_WAITING", 10)
    board = Board()
    for number in range(10):
        board.put(f"u{number + 1}", 1)
    with pytest.raises(Unavailable) as caught:
        board.put("u99", 1)
    assert caught.value.retry_after is not None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_a_mark_is_stored_when_the_answer_comes_and_others_hear_of_it(world: World):
    """The newest event is the highest that can be read."""
    await world.send(ALICE, BOB, "one")
    session = await world.enter(ALICE)
    await world.node.mark_read(ReadMark(BOB, DIRECT, 99))
    found = await hear(session, lambda event: event.HasField("read_mark"))
    assert (found[-1].read_mark.user_id, found[-1].read_mark.seq) == (BOB, 1)
    laptop = await world.enter(BOB, "laptop")
    found = await hear(laptop, lambda event: event.hello_page.complete)
    (head,) = [head for head in found[-1].hello_page.conversations if head.conversation_id == DIRECT]
    assert (head.read_seq, head.unread_count) == (1, 0)


async def test_only_members_leave_marks(world: World):
    """Missing and foreign conversations answer alike."""
    await world.send(ALICE, BOB, "one")
    for user, conversation_id in ((CAROL, DIRECT), (ALICE, "g999"), (ALICE, "inbox.u1")):
        with pytest.raises(NotFound) as caught:
            await world.node.mark_read(ReadMark(user, conversation_id, 1))
        assert caught.value.field == "conversation_id"


async def test_a_mark_without_an_answer_in_time_may_be_repeated(tmp_path: Path):
    """It is not a fault of ours, and not a success."""
    async with open_world(tmp_path, send_timeout_ms=100) as world:
        await world.stand.append(world.stand.record(DIRECT))
        await world.stand.heads(DIRECT, 1)
        await world.node.mark_read(ReadMark(ALICE, DIRECT, 1))
        with pytest.raises(OutcomeUnknown):  # the board rests until time goes on
            await world.node.mark_read(ReadMark(BOB, DIRECT, 1))
