"""What is put into the queue is stored once and in order, whatever happens to answers, programs and clocks."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat_client import backoff
from stonechat_client.cache.memory import MemoryCache
from stonechat_client.errors import CallFailed, ClientError, InvalidRequest, NotReachable, QueueFull, SignedOut
from stonechat_client.items import Delivered, Refused
from stonechat_client.send_queue import AT_A_TIME, MOST
from tests.sdk.world import EXHAUSTED, HOUR, UNAVAILABLE, World


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whatever changes it knows of nobody who waits
            await asyncio.sleep(0.001)


async def test_messages_to_one_destination_are_sent_in_order_and_told_of() -> None:
    world = World()
    async with world.running() as queue:
        names = [queue.put("u2", f"text {number}") for number in range(20)]
        await until(lambda: len(world.told) == 20)
    assert world.contents("u2") == [f"text {number}" for number in range(20)]
    assert [item.client_message_id for item in world.told] == names
    assert [item.sent.seq for item in world.told if isinstance(item, Delivered)] == list(range(1, 21))
    assert queue.waiting() == []
    assert world.cache.queued() == []


async def test_sixteen_destinations_are_served_at_a_time_and_all_in_the_end() -> None:
    world = World()
    for number in range(50):
        world.queue.put(f"u{number}", "hello")
        world.queue.put(f"u{number}", "again")
    async with world.running():
        await until(lambda: len(world.told) == 100)
    assert world.most_under_way == AT_A_TIME
    assert all(world.contents(f"u{number}") == ["hello", "again"] for number in range(50))


async def test_a_destination_that_is_stuck_holds_no_other_up() -> None:
    world = World()
    world.script["one"] = ["stuck"]
    async with world.running() as queue:
        queue.put("u2", "one")
        queue.put("u2", "two")
        queue.put("u3", "three")
        await until(lambda: world.told)
        assert [message.content for message in queue.waiting()] == ["one", "two"]
    assert world.contents("u2") == []


@pytest.mark.parametrize(
    "error",
    [
        UNAVAILABLE,
        EXHAUSTED,
        NotReachable("the network is down"),
        CallFailed("INTERNAL", "", ""),
        CallFailed("UNKNOWN", "", ""),
    ],
    ids=lambda error: getattr(error, "code", "NotReachable"),
)
async def test_what_says_nothing_of_the_message_is_repeated(error: ClientError) -> None:
    world = World()
    world.script["one"] = [error, error, "lost", error]
    async with world.running() as queue:
        world.hands_over = False
        queue.put("u2", "one")
        queue.put("u2", "two")
        await until(lambda: len(world.told) == 2)
    assert world.contents("u2") == ["one", "two"]
    assert world.attempts == ["one"] * 5 + ["two"]


async def test_what_is_refused_for_good_leaves_the_queue_and_the_next_one_goes_on() -> None:
    world, error = World(), CallFailed("INVALID_ARGUMENT", "INVALID_FIELD", "to: nobody")
    world.script["one"] = [error]
    async with world.running() as queue:
        name = queue.put("u2", "one")
        queue.put("u2", "two")
        await until(lambda: len(world.told) == 2)
    assert world.told[0] == Refused(name, error)
    assert world.contents("u2") == ["two"]
    assert world.cache.queued() == []


async def test_a_device_that_is_signed_out_keeps_its_queue() -> None:
    world = World()
    world.script["one"] = [*[SignedOut("UNAUTHENTICATED", "DEVICE_REVOKED", "signed out")] * 3, "stuck"]
    async with world.running() as queue:
        queue.put("u2", "one")
        await until(lambda: len(world.attempts) == 4)
    assert [message.content for message in world.cache.queued()] == ["one"]
    assert world.told == []


async def test_a_later_queue_on_the_same_cache_goes_on() -> None:
    world = World()
    names = [world.queue.put("u2", text) for text in ("one", "two")]
    assert [(one.client_message_id, one.content, one.tried_at) for one in world.cache.queued()] == [
        (names[0], "one", 0.0),
        (names[1], "two", 0.0),
    ]
    world.script["one"] = ["stored, stuck"]
    world.hands_over = False
    async with world.running():
        await until(lambda: world.contents("u2"))
    assert [one.tried_at for one in world.cache.queued()] == [1000 * HOUR, 0.0]
    world.hours += 1
    world.restart()
    async with world.running():
        await until(lambda: len(world.told) == 2)
    assert world.contents("u2") == ["one", "two"]
    assert [item.client_message_id for item in world.told] == names


def test_what_the_contract_forbids_is_said_at_once() -> None:
    queue = World().queue
    for to, content, name, field in [
        ("", "text", "", "to"),
        ("u2", "", "", "content"),
        ("u2", "x" * 16_385, "", "content"),
        ("u2", "text", "no spaces", "client_message_id"),
    ]:
        with pytest.raises(InvalidRequest) as refusal:
            queue.put(to, content, name)
        assert refusal.value.field == field
    assert queue.waiting() == []


def test_putting_the_same_in_twice_changes_nothing() -> None:
    world = World()
    assert [world.queue.put("u2", "one", "c1") for _ in range(2)] == ["c1", "c1"]
    assert len(world.queue.waiting()) == len(world.cache.queued()) == 1
    for to, content in (("u2", "two"), ("u3", "one")):
        with pytest.raises(InvalidRequest, match="client_message_id: names another message that waits"):
            world.queue.put(to, content, "c1")


async def test_the_queue_has_an_end() -> None:
    world = World()
    for number in range(MOST):
        world.queue.put("u2", "text", f"c{number}")
    with pytest.raises(QueueFull, match="10,000 messages wait already"):
        world.queue.put("u3", "text")
    assert world.queue.put("u2", "text", "c7") == "c7"
    async with world.running():
        await until(lambda: world.told)
        world.queue.put("u3", "text")
    assert len(world.cache.queued()) <= MOST


async def test_a_message_that_was_seen_leaves_the_cache_at_once_and_is_told_of_by_its_answer() -> None:
    """Cache and queue never contradict: the event is kept in the same turn in which the message leaves."""
    world = World()
    world.script["one"] = ["stored, stuck"]
    async with world.running() as queue:
        name = queue.put("u2", "one")
        await until(lambda: not world.cache.queued())
        assert world.told == []
        assert [message.content for message in queue.waiting()] == ["one"]
        world.hours += 25
        queue.reconnecting()
        await until(lambda: world.told)
    (outcome,) = world.told
    assert isinstance(outcome, Delivered)
    assert (outcome.client_message_id, outcome.sent.seq, outcome.sent.message_id) == (name, 1, "m1.1")
    assert world.attempts == ["one"]


async def test_an_answer_that_never_comes_holds_nothing_up_once_the_message_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stonechat_client.send_queue.ANSWER_SECONDS", 0.01)
    world = World()
    world.script["one"] = ["stored, stuck"]
    async with world.running() as queue:
        queue.put("u2", "one")
        queue.put("u2", "two")
        await until(lambda: len(world.told) == 2)
    assert world.attempts == ["one", "two"]
    assert all(isinstance(outcome, Delivered) for outcome in world.told)


async def test_after_a_day_a_message_that_was_stored_is_known_by_its_event() -> None:
    world = World()
    world.hands_over = False
    world.script["one"] = ["stored, stuck"]
    async with world.running() as queue:
        queue.put("u2", "one")
        await until(lambda: world.contents("u2"))
    world.go_offline()
    world.hours += 30
    world.restart()
    async with world.running():
        await asyncio.sleep(0.01)
        assert world.attempts == ["one"], "it was repeated blindly"
        world.go_live()
        await until(lambda: world.told)
    assert world.contents("u2") == ["one"]
    assert isinstance(world.told[0], Delivered)


async def test_after_a_day_a_message_that_was_not_stored_is_sent() -> None:
    world = World()
    world.script["one"] = ["stuck"]
    async with world.running() as queue:
        name = queue.put("u2", "one")
        await until(lambda: world.attempts)
        world.go_offline()
        world.hours += 30  # the device sleeps: no timer runs
        world.go_live()
        await until(lambda: world.told)
    assert world.contents("u2") == ["one"]
    assert world.told[0].client_message_id == name


async def test_a_message_that_waited_long_before_it_was_first_said_may_be_repeated_blindly() -> None:
    world = World()
    world.script["one"] = ["stuck"]
    world.queue.put("u2", "one")
    world.hours += 20
    async with world.running():
        await until(lambda: world.attempts)
    world.go_offline()
    world.hours += 20
    world.restart()
    async with world.running():
        await until(lambda: world.told)
    assert world.contents("u2") == ["one"]


async def test_a_clock_that_was_set_back_says_nothing_about_how_long_ago_it_was() -> None:
    world = World()
    world.hands_over = False
    world.script["one"] = ["stored, stuck"]
    async with world.running() as queue:
        queue.put("u2", "one")
        await until(lambda: world.contents("u2"))
    world.go_offline()
    world.hours -= 5
    world.restart()
    async with world.running():
        await asyncio.sleep(0.01)
        assert world.attempts == ["one"]
        world.go_live()
        await until(lambda: world.told)
    assert world.contents("u2") == ["one"]


async def test_a_full_disk_ends_the_queue_with_its_own_error() -> None:
    class Full(MemoryCache):
        def tried(self, client_message_id: str, at: float) -> None:
            raise OSError(28, "No space left on device")

    world = World(Full())
    world.queue.put("u2", "one")
    with pytest.raises(OSError, match="No space left"):
        await world.queue.run()
    assert world.attempts == []


FATES = st.sampled_from(["stored", "lost", "stuck", "stored, stuck", UNAVAILABLE, EXHAUSTED])
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(["u2", "g1", "u3"]), st.lists(FATES, max_size=3)),
    st.tuples(st.just("sleep"), st.floats(0.1, 40.0)),
    st.sampled_from(["offline", "live", "restart", "turn"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_each_message_is_stored_once_and_in_order(steps: list[object]) -> None:
    async def story() -> None:
        world, put = World(), defaultdict(list)
        task = asyncio.create_task(world.queue.run())
        for number, step in enumerate(steps):
            match step:
                case "put", str(to), list(fates):
                    content = f"{to} {number}"
                    world.script[content] = list(fates)
                    world.queue.put(to, content)
                    put[to].append(content)
                case "sleep", float(hours):
                    world.go_offline()
                    world.hours += hours
                    world.go_live()
                case "offline":
                    world.go_offline()
                case "live":
                    world.go_live()
                case "restart":
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    world.restart()
                    task = asyncio.create_task(world.queue.run())
            await asyncio.sleep(0.0)
        world.script.clear()
        for _ in range(2):  # attempts that are stuck are cut off once each, then nothing is
            world.go_offline()
            world.hours += 30
            world.go_live()
            await asyncio.sleep(0.0)
        await until(lambda: not world.queue.waiting())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert {to: world.contents(to) for to in world.stored} == put
        assert world.cache.queued() == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backoff, "BASE_SECONDS", 0.001)
        asyncio.run(story())
