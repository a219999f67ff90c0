"""Cassandra gives no moment: what is stored while verify looks is no fault, and what never comes is one."""

from dataclasses import replace

import pytest

from svc.backends.messages_schema import MESSAGES_FILE
from svc.kernel.errors import StartError, Unavailable
from svc.verify.wiring import verify
from tests.verify.judge import HurriedClock, found
from tests.verify.moved import EVENT, moved, rows_of
from tests.verify.town import DIRECT, GROUP

pytestmark = pytest.mark.real

ENDS = {DIRECT: 3, GROUP: 3}
_SEQ = 3  # of the parameters of EVENT


class EventfulClock(HurriedClock):
    """While somebody sleeps, things happen: the first in the first sleep, and so on."""

    def __init__(self, *happens):
        super().__init__()
        self._happens = list(happens)

    async def sleep(self, seconds):
        await super().sleep(seconds)
        if self._happens:
            self._happens.pop(0)()


def is_later(row):
    insert, values = row
    return insert is EVENT and values[_SEQ] > ENDS.get(values[0], 1 << 40)


def look(made, clock, only=(), **settings):
    chosen = replace(made.settings, **settings)
    return found(verify(chosen, None, [], only, False, 1000, clock, lambda text: None))


@pytest.mark.parametrize("sleeps_before", [0, 1])
def test_what_is_stored_while_it_looks_is_judged_another_time(town, sleeps_before):
    """Key rows, lists and changed messages are there already; the events that they name come while it waits, or only once it
    has asked for them."""
    path = town.data / MESSAGES_FILE
    with moved(path, is_later) as made:
        later = [row for row in rows_of(path) if is_later(row)]
        assert len(later) == 12
        nothing = [lambda: None] * sleeps_before
        assert look(made, EventfulClock(*nothing, lambda: made.write(later))) == []
        assert look(made, HurriedClock()) == []


def test_what_never_comes_is_missed(town):
    """By the key rows that name it, by what changed a message, by the lists."""
    with moved(town.data / MESSAGES_FILE, is_later) as made:
        faults = look(made, HurriedClock())
    assert {("lost", DIRECT, seq) for seq in (4, 5, 6, 7, 8, 9, 11)} < set(faults)
    assert ("wrong", DIRECT, 3) in faults
    of_group = [(fault, seq) for fault, name, seq in faults if name == GROUP]
    # The lists of u3, who was removed at 4, and of u4, who came at 6.
    assert sorted(of_group) == [("lost", 4), ("lost", 5), ("lost", 6), ("lost", 7), ("wrong", 0), ("wrong", 1)]


def test_one_conversation_alone(town):
    """It is judged without a look at all others."""
    town.sql(f"UPDATE events SET ordinal = 9 WHERE conversation_id = '{DIRECT}' AND seq = 11")
    with moved(town.data / MESSAGES_FILE) as made:
        assert look(made, HurriedClock(), [GROUP]) == []
        assert look(made, HurriedClock(), [GROUP, DIRECT]) == [("wrong", DIRECT, 11)]
        with pytest.raises(Unavailable, match="nothing is stored of g5"):
            look(made, HurriedClock(), ["g5"])


def test_what_cannot_be_opened_is_named(town):
    """Under another master key every body is a finding; without one nothing begins."""
    with moved(town.data / MESSAGES_FILE) as made:
        faults = look(made, HurriedClock(), [DIRECT], master_keys=f"1:{'A' * 43}=")
        assert {("wrong", DIRECT, seq) for seq in (1, 2, 3, 4, 5, 7, 8, 9, 11)} <= set(faults)
        with pytest.raises(StartError, match="STONECHAT_MASTER_KEYS"):
            look(made, HurriedClock(), master_keys="")
