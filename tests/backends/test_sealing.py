"""Sealed content: the same bytes whoever writes, opened only for the event it was sealed for."""

import base64
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from svc.backends import sealing
from svc.backends.sealing import Seal, UnreadableContentError, parse_master_keys
from svc.kernel.errors import StartError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))

names = st.from_regex(r"d\.u[1-9][0-9]{0,18}\.u[1-9][0-9]{0,18}", fullmatch=True)
seqs = st.integers(1, 2**63 - 1)
kinds = st.integers(1, 200)
bodies = st.one_of(
    st.binary(max_size=400), st.builds(lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 900))
)
events = st.tuples(names, seqs, kinds)


@given(events, bodies)
def test_what_is_sealed_opens_as_it_was(event: tuple[str, int, int], body: bytes):
    """Short, long, compressible or not; and nothing is sealed as nothing."""
    cell = Seal({1: OLD}).seal(*event, body)
    assert Seal({1: OLD}).open(*event, cell) == body
    assert (cell == b"") == (body == b"")


@given(events, bodies)
def test_two_writers_write_the_same_bytes(event: tuple[str, int, int], body: bytes):
    """So that it does not matter whose write wins."""
    used = Seal({1: OLD})
    used.seal("g1", 1, 16, b"something else before")
    assert used.seal(*event, body) == Seal({1: OLD}).seal(*event, body)


@given(events, events, bodies)
def test_a_cell_opens_for_its_own_event_only(event: tuple[str, int, int], other: tuple[str, int, int], body: bytes):
    """Another conversation, seq or kind: content that was moved to another row is refused."""
    assume(event != other and body)
    cell = Seal({1: OLD}).seal(*event, body)
    with pytest.raises(UnreadableContentError, match=f"not sealed for event {other[1]} of {other[0]}"):
        Seal({1: OLD}).open(*other, cell)


@given(events, bodies, st.data())
def test_a_cell_that_was_changed_is_refused(event: tuple[str, int, int], body: bytes, data: st.DataObject):
    """Whichever of its bits."""
    assume(body)
    cell = bytearray(Seal({1: OLD}).seal(*event, body))
    cell[data.draw(st.integers(0, len(cell) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnreadableContentError):
        Seal({1: OLD}).open(*event, bytes(cell))


@given(events, bodies, st.data())
def test_a_cell_that_was_cut_is_refused(event: tuple[str, int, int], body: bytes, data: st.DataObject):
    """At any length but none at all, which says that there is no content."""
    assume(body)
    cell = Seal({1: OLD}).seal(*event, body)
    with pytest.raises(UnreadableContentError):
        Seal({1: OLD}).open(*event, cell[: data.draw(st.integers(1, len(cell) - 1))])


@given(events, bodies, bodies)
def test_no_nonce_serves_two_contents(event: tuple[str, int, int], one: bytes, two: bytes):
    """An edit writes the same event's cell with another content."""
    assume(one != two and one and two)
    seal = Seal({1: OLD})
    assert seal.seal(*event, one)[2:14] != seal.seal(*event, two)[2:14]


def test_the_newest_key_seals_and_every_known_one_opens():
    """Keys are replaced by adding one; what was written before stays readable for as long as its key is kept."""
    before = Seal({1: OLD}).seal("g1", 7, 16, b"before")
    both = Seal({1: OLD, 2: NEW})
    after = both.seal("g1", 7, 16, b"after")
    assert (both.open("g1", 7, 16, before), both.open("g1", 7, 16, after)) == (b"before", b"after")
    assert Seal({2: NEW}).open("g1", 7, 16, after) == b"after"
    with pytest.raises(UnreadableContentError, match="master key 1, which is not in STONECHAT_MASTER_KEYS"):
        Seal({2: NEW}).open("g1", 7, 16, before)


def test_another_key_of_the_same_version_is_refused():
    """And the text says what may be wrong."""
    cell = Seal({1: OLD}).seal("g1", 7, 16, b"secret")
    with pytest.raises(UnreadableContentError, match="by this master key 1: it is another key"):
        Seal({1: NEW}).open("g1", 7, 16, cell)


def test_what_repeats_itself_takes_less_room_and_noise_no_more():
    """Compressed where it pays; else one byte says that it is not."""
    seal = Seal({1: OLD})
    assert len(seal.seal("g1", 1, 16, b"hello, world. " * 100)) < 100
    noise = os.urandom(1000)
    assert len(seal.seal("g1", 1, 16, noise)) == 2 + 12 + 1 + 1000 + 16


def test_kept_keys_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Those of conversations that come back are derived again."""
    monkeypatch.setattr(sealing, "_KEYS_KEPT", 3)
    seal = Seal({1: OLD})
    cells = {f"g{number}": seal.seal(f"g{number}", 1, 16, b"body") for number in range(1, 11)}
    assert len(seal._keys) == 3
    for name, cell in cells.items():
        assert seal.open(name, 1, 16, cell) == b"body"
        assert seal.seal(name, 1, 16, b"body") == cell
    assert len(seal._keys) == 3


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_master_keys_are_parsed():
    """Several, the highest version seals, wherever it stands."""
    seal = parse_master_keys(f"2:{encoded(NEW)}, 1:{encoded(OLD)}")
    assert seal.seal("g1", 1, 16, b"body") == Seal({2: NEW}).seal("g1", 1, 16, b"body")
    assert seal.open("g1", 1, 16, Seal({1: OLD}).seal("g1", 1, 16, b"body")) == b"body"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "STONECHAT_MASTER_KEYS is empty"),
        ("c2VjcmV0LXNlY3JldA==", "key 1 must begin with its version"),
        (f"0:{encoded(OLD)}", "key 1 must begin with its version"),
        (f"65536:{encoded(OLD)}", "key 1 must begin with its version"),
        (f"1:{encoded(OLD)},2:c2VjcmV0LXNlY3JldA", "key 2 is no base64"),
        ("1:c2VjcmV0LXNlY3JldA==", "key 1 has 13 bytes, not 32"),
        (f"1:{encoded(OLD)},1:{encoded(NEW)}", "key 2 has version 1, as another"),
    ],
)
def test_wrong_master_keys_stop_the_start(text: str, told: str):
    """With what is wrong and how to make one; the keys themselves are not shown."""
    with pytest.raises(StartError) as caught:
        parse_master_keys(text)
    assert told in caught.value.message
    assert "openssl rand -base64 32" in caught.value.message or "as another" in told
    for secret in (encoded(OLD), encoded(NEW), "c2VjcmV0"):
        assert secret not in caught.value.message
