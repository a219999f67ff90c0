"""What waits for one session is bounded, and nothing that was left out goes unsaid."""

import asyncio
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from svc.messaging.outbox import WRITE_BYTES, Outbox

LIMIT = 2000


def behind(conversation_id: str, head: int) -> bytes:
    return f"behind {conversation_id} {head};".encode()


def event(conversation_id: str, seq: int, size: int = 0) -> bytes:
    return f"event {conversation_id} {seq} {'x' * size};".encode()


def parts(frame: bytes) -> list[list[str]]:
    return [part.split() for part in frame.decode().split(";")[:-1]]


def drain(outbox: Outbox) -> list[list[str]]:
    found = []
    while frame := outbox.take():
        found += parts(frame)
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from("abc"), st.integers(0, 400)),
        st.tuples(st.just("behind"), st.sampled_from("abc"), st.integers(1, 5)),
        st.tuples(st.just("control"), st.just(""), st.integers(0, 100)),
        st.tuples(st.just("signal"), st.sampled_from("abc"), st.integers(0, 9)),
        st.tuples(st.just("take"), st.just(""), st.just(0)),
    ),
    max_size=80,
)


@given(STEPS)
def test_everything_arrives_or_is_said_to_be_missing(steps: list[tuple[str, str, int]]):
    """For each conversation: the next event, or a Behind above it; answers all and in order; and never more than the limit."""
    outbox = Outbox(LIMIT, behind)
    put: dict[str, int] = defaultdict(int)
    seen: dict[str, int] = defaultdict(int)
    controls: list[str] = []
    answered: list[str] = []
    waiting_controls = 0

    def hear(found: list[list[str]]) -> None:
        nonlocal waiting_controls
        for kind, *words in found:
            if kind == "event":
                name, seq = words[0], int(words[1])
                assert seq == seen[name] + 1
                seen[name] = seq
            elif kind == "behind":
                assert int(words[1]) > seen[words[0]]
                seen[words[0]] = int(words[1])
            elif kind == "control":
                answered.append(words[0])
                waiting_controls -= 300

    for kind, name, number in steps:
        if kind == "event":
            put[name] += 1
            outbox.event(event(name, put[name], number), name, put[name])
        elif kind == "behind":
            put[name] += number
            outbox.behind(name, put[name])
        elif kind == "control":
            controls.append(str(len(controls)))
            outbox.control(f"control {controls[-1]} {'x' * number};".encode())
            waiting_controls += 300
        elif kind == "signal":
            outbox.signal(f"key {number}", name, f"signal {name};".encode())
        else:
            hear(parts(outbox.take()))
        assert outbox.size <= LIMIT + max(0, waiting_controls)
    hear(drain(outbox))
    assert seen == put
    assert answered == controls
    assert (outbox.size, bool(outbox)) == (0, False)


def test_an_overflow_leaves_one_behind_for_each_conversation_and_every_answer():
    """With the newest seq of each; answers stay in their order, before it."""
    outbox = Outbox(LIMIT, behind)
    outbox.control(b"control 1;")
    for seq in range(1, 6):
        outbox.event(event("a", seq, 100), "a", seq)
        outbox.event(event("b", seq, 100), "b", seq)
    outbox.behind("c", 9)
    outbox.control(b"control 2;")
    outbox.signal("typing", "a", b"signal a;")
    for seq in range(6, 60):
        outbox.event(event("a", seq, 1000), "a", seq)
        if outbox.size < LIMIT // 2:
            break
    found = drain(outbox)
    assert found[:2] == [["control", "1"], ["control", "2"]]
    assert sorted(found[2:]) == [["behind", "a", str(seq)], ["behind", "b", "5"], ["behind", "c", "9"]]


def test_events_go_on_after_a_behind():
    """What comes after an overflow is pushed again."""
    outbox = Outbox(LIMIT, behind)
    outbox.event(event("a", 1, 1500), "a", 1)
    outbox.event(event("a", 2, 1500), "a", 2)
    outbox.event(event("a", 3), "a", 3)
    assert drain(outbox) == [["behind", "a", "2"], ["event", "a", "3"]]


def test_one_write_holds_what_waits_up_to_64_kb():
    """A larger frame goes alone, and the order is kept."""
    outbox = Outbox(16 << 20, behind)
    sizes = [30_000, 30_000, 30_000, 100_000, 10, 20]
    for seq, size in enumerate(sizes, 1):
        outbox.event(event("a", seq, size), "a", seq)
    outbox.signal("typing", "a", b"signal a;")
    writes = []
    while frame := outbox.take():
        writes.append((len(frame), [part[0] + part[2] if part[0] == "event" else part[0] for part in parts(frame)]))
    assert [names for _, names in writes] == [
        ["event1", "event2"],
        ["event3"],
        ["event4"],
        ["event5", "event6", "signal"],
    ]
    assert all(size <= WRITE_BYTES for size, names in writes if len(names) > 1)


def test_of_signals_the_newest_of_a_key_counts():
    """And they come after what must arrive."""
    outbox = Outbox(LIMIT, behind)
    for number in range(50):
        outbox.signal("typing u1", "a", f"signal {number};".encode())
    outbox.signal("typing u2", "a", b"signal other;")
    outbox.signal("typing u1", "b", b"signal b;")
    outbox.control(b"control;")
    assert drain(outbox) == [["control"], ["signal", "49"], ["signal", "other"], ["signal", "b"]]


def test_signals_are_bounded_and_never_in_the_way():
    """However many keys there are; while much waits they are dropped."""
    outbox = Outbox(LIMIT, behind)
    for number in range(10_000):
        outbox.signal(f"typing u{number}", "g", b"signal;")
    assert outbox.size <= LIMIT // 2
    assert len(drain(outbox)) > 5
    outbox.event(event("a", 1, LIMIT // 2), "a", 1)
    outbox.signal("typing u1", "g", b"signal;")
    assert [part[0] for part in drain(outbox)] == ["event"]


async def test_a_writer_waits_until_there_is_something_and_for_nothing_after_the_end():
    """An event, an answer, a signal, a nudge or the end wakes it."""
    outbox = Outbox(LIMIT, behind)
    for put in (
        lambda: outbox.event(event("a", 1), "a", 1),
        lambda: outbox.control(b"control;"),
        lambda: outbox.signal("key", "a", b"signal;"),
        outbox.nudge,
    ):
        waiting = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        put()
        async with asyncio.timeout(10):
            await waiting
        outbox.take()
    outbox.end()
    await outbox.wait()
    outbox.take()
    await outbox.wait()


def test_the_traces_of_what_was_taken_are_known_to_the_writer():
    """Those of the newest take alone."""
    outbox = Outbox(LIMIT, behind)
    outbox.event(event("a", 1), "a", 1, "trace 1")
    outbox.event(event("a", 2), "a", 2)
    outbox.event(event("a", 3), "a", 3, "trace 3")
    outbox.take()
    assert outbox.traces == ["trace 1", "trace 3"]
    outbox.take()
    assert outbox.traces == []
