"""Deliberate defects of the real core. The simulation must find each of them: a check that cannot fail is none."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from svc.delivery import finisher as finisher_module
from svc.delivery import owner as owner_module
from svc.delivery import replaying as replaying_module
from svc.delivery import sequencer as sequencer_module
from svc.delivery.delivery import Delivery
from svc.delivery.finisher import Finisher
from svc.delivery.heads import HeadCache
from svc.delivery.hub import Hub, NodeQueue
from svc.delivery.loader import Loader
from svc.delivery.model import NO_EVENTS, Event, Head, KeyRow, LogIncidentError, Position, Row, Slice, Verdict, key_of
from svc.delivery.owner import Owner
from svc.delivery.questions import Questions
from svc.delivery.replaying import Replaying
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round
from svc.delivery.sequencer import Facts, Missing, Sequencer, event_again
from svc.delivery.wire import ProtoEncoder
from svc.kernel import log_clock as log_clock_module
from svc.kernel import relay
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.log_clock import LogClock
from svc.kernel.record import Record
from svc.kernel.relay import Outcome
from svc.messaging.subscriptions import Subscriptions
from tests.simulation import model_store as model_store_module
from tests.simulation import owners as owners_module

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, where it shows, and how it is broken."""

    says: str
    scenarios: tuple[str, ...]
    apply: Patch


MUTATIONS: dict[str, Mutation] = {}


def mutation(says: str, *scenarios: str) -> Callable[[Patch], Patch]:
    """Register one."""

    def register(apply: Patch) -> Patch:
        MUTATIONS[apply.__name__] = Mutation(says, scenarios, apply)
        return apply

    return register


# The verdict


@mutation("T2: a record at or below the head is judged again", "killed_anywhere")
def judged_again() -> AbstractContextManager[Any]:
    def known(self: Sequencer, state: Any, entry: LoggedEntry, record: Record, at: Position, facts: Facts) -> Verdict:
        return self._number(state, entry, record, at, record.kind, Outcome.STORED)

    return patch.object(Sequencer, "_known", known)


@mutation("L4: the time of an event is the owner's, not the log's", "stopped_in_a_round", "killed_anywhere")
def own_time() -> AbstractContextManager[Any]:
    number = Sequencer._number

    def numbered(self: Sequencer, state: Any, entry: LoggedEntry, *rest: Any) -> Verdict:
        return number(self, state, replace(entry, appended_us=entry.appended_us + self.start), *rest)

    return patch.object(Sequencer, "_number", numbered)


@mutation("L4: a node reckons by its own clock", "clocks_jump")
def own_clock() -> AbstractContextManager[Any]:
    return patch.object(LogClock, "now_us", lambda self: self._clock.now_us())


@mutation("L4: the log stored a record when its append began", "clocks_jump", "calm")
def stored_at_once() -> AbstractContextManager[Any]:
    within = log_clock_module._within
    return patch.object(log_clock_module, "_within", lambda value, least, most: within(most, least, most))


@mutation("L5: expired records are numbered", "everything", "clocks_jump")
def expired_numbered() -> AbstractContextManager[Any]:
    return patch.object(sequencer_module, "_is_expired", lambda entry, record: False)


@mutation("L5: a repeat of a stored message is answered EXPIRED when it comes late", "everything")
def expired_before_repeat() -> AbstractContextManager[Any]:
    first = Sequencer._first_with_key

    def found(self: Sequencer, state: Any, entry: LoggedEntry, record: Record, facts: Facts) -> KeyRow | None:
        return None if sequencer_module._is_expired(entry, record) else first(self, state, entry, record, facts)

    return patch.object(Sequencer, "_first_with_key", found)


@mutation("L6: a repeat gets a new number", "calm")
def repeat_numbered() -> AbstractContextManager[Any]:
    return patch.object(Sequencer, "_first_with_key", lambda *_: None)


@mutation("L6: a key row of a later position counts", "stopped_in_a_round", "everything")
def later_keys_believed() -> AbstractContextManager[Any]:
    def found(self: Sequencer, state: Any, entry: LoggedEntry, record: Record, facts: Facts) -> KeyRow | None:
        first = state.keys.get(key_of(record)) or facts.keys.get(key_of(record))
        return None if first is None or first.position == Position(state.era, entry.offset) else first

    return patch.object(Sequencer, "_first_with_key", found)


@mutation("L2: a target that stands later than its change counts", "stopped_in_a_round", "everything")
def later_targets_believed() -> AbstractContextManager[Any]:
    may_change = Sequencer._may_change

    def allowed(state: Any, record: Record, facts: Facts) -> bool:
        return may_change(replace(state, head=replace(state.head, seq=1 << 60)), record, facts)

    return patch.object(Sequencer, "_may_change", staticmethod(allowed))


@mutation("L7: the key table is never asked", "killed_anywhere", "everything")
def no_key_lookup() -> AbstractContextManager[Any]:
    missing = Sequencer.missing

    def found(self: Sequencer, batch: Any) -> Missing:
        return Missing(set(), missing(self, batch).targets)

    return patch.object(Sequencer, "missing", found)


@mutation("L7: the window of keys is thought complete as soon as a conversation is loaded", "killed_anywhere")
def window_complete() -> AbstractContextManager[Any]:
    load = Sequencer.load

    def loaded(self: Sequencer, name: str, stored: Slice, log_end: int) -> None:
        load(self, name, stored, log_end)
        self._conversations[name].complete_since_us = 0

    return patch.object(Sequencer, "load", loaded)


@mutation("L7: keys are dropped while a batch is judged", "everything", "calm")
def keys_dropped_early() -> AbstractContextManager[Any]:
    remember = Sequencer._remember

    def remembered(self: Sequencer, state: Any, event: Event) -> None:
        remember(self, state, event)
        self._forget_keys(state)

    return patch.object(Sequencer, "_remember", remembered)


@mutation("L7: a repeat counts for as long as anybody remembers it", "clocks_jump")
def repeats_for_ever() -> AbstractContextManager[Any]:
    return patch.object(sequencer_module, "KEY_WINDOW_US", 1 << 60)


@mutation("T1: the rows above the start are not loaded", "killed_anywhere")
def rows_not_loaded() -> AbstractContextManager[Any]:
    load = Sequencer.load

    def loaded(self: Sequencer, name: str, stored: Slice, log_end: int) -> None:
        load(self, name, replace(stored, rows=stored.rows[:-1]), log_end)

    return patch.object(Sequencer, "load", loaded)


@mutation("T1: a row above a number that is missing is taken for stored", "partial_write")
def torn_runs_believed() -> AbstractContextManager[Any]:
    return patch.object(model_store_module, "slice_of", _believed)


def _believed(rows: Iterable[Row], start: Position) -> Slice:
    found = sorted(rows, key=lambda row: row.seq)
    if not found:
        return Slice(NO_EVENTS, ())
    top = found[-1]
    head = Head(top.seq, top.time_us, top.ordinal, top.version, top.position)
    return Slice(head, tuple(row for row in found if row.position >= start))


@mutation("T4: nobody notices that the log was cut", "log_cut")
@contextmanager
def incidents_ignored() -> Iterator[None]:
    load, known = Sequencer.load, Sequencer._known

    def loaded(self: Sequencer, name: str, stored: Slice, log_end: int) -> None:
        load(self, name, stored, 1 << 60)

    def known_all(self: Sequencer, state: Any, entry: Any, record: Record, *rest: Any) -> Verdict:
        try:
            return known(self, state, entry, record, *rest)
        except LogIncidentError:
            return Verdict(record, Outcome.NO_TARGET)

    with patch.object(Sequencer, "load", loaded), patch.object(Sequencer, "_known", known_all):
        yield


@mutation("T4: committed offsets are not told apart by their era", "log_cut")
@contextmanager
def one_group() -> Iterator[None]:
    with (
        patch.object(owner_module, "group_of", lambda era: "delivery"),
        patch.object(finisher_module, "group_of", lambda era: "delivery"),
    ):
        yield


@mutation("T4: whoever notices an incident tells another one, though it is told already", "log_cut")
def own_incidents() -> AbstractContextManager[Any]:
    async def told(self: Delivery, owner: Owner, incident: LogIncidentError) -> None:
        with suppress(Unavailable):
            await self._coordination.publish((await self._coordination.read_shards()).after_incident())

    return patch.object(Delivery, "_tell_incident", told)


# The cache of heads


@mutation("S4: a cache is believed however far it goes", "cache_comes_back_old")
def any_mark() -> AbstractContextManager[Any]:
    return patch.object(HeadCache, "_reaches", lambda self, mark, through: True)


@mutation("S4: heads are not raised when events are stored", "cache_comes_back_old", "everything")
def heads_not_raised() -> AbstractContextManager[Any]:
    loaded = HeadCache.stored
    return patch.multiple(HeadCache, stored=lambda self, name, seq: None, loaded=loaded)


# Rounds


@mutation("acknowledged and relayed before it is stored", "calm")
def relayed_first() -> AbstractContextManager[Any]:
    def made(*arguments: Any) -> Owner:
        owner = Owner(*arguments)
        judge = owner._judge.judge

        async def judged(entries: Sequence[LoggedEntry]) -> Round:
            result = await judge(entries)
            owner._hand_out(result, set(), (0, 0, 0))
            return result

        owner._judge.judge = judged  # type: ignore[method-assign]
        return owner

    return patch.object(owners_module, "Owner", made)


@mutation("W1: a round's events are written at once, over bucket edges, and T1 believes what it finds", "bucket_edge")
@contextmanager
def one_wave() -> Iterator[None]:
    # T1 alone would do: it ends below what is missing. So would W1, where nobody looks at heads.
    at_once = patch.object(owner_module, "waves", lambda events: [list(events)] if events else [])
    with at_once, patch.object(model_store_module, "slice_of", _believed):
        yield


@mutation("W1: an event goes in a write of its own, all at the same time", "killed_anywhere", "everything")
def scattered() -> AbstractContextManager[Any]:
    until_done = Retry.until_done

    async def at_once(self: Retry, step: str, attempt: Any) -> Any:
        if step != "store":
            return await until_done(self, step, attempt)
        (wave,) = attempt.__defaults__
        store = attempt.__closure__[0].cell_contents._store
        for event in reversed(wave):
            await until_done(self, step, lambda one=event: store.write([one]))
        return None

    return patch.object(Retry, "until_done", at_once)


@mutation("L3: a write whose outcome is unknown is taken for done", "everything", "answers_lost")
def unknown_is_done() -> AbstractContextManager[Any]:
    until_done = Retry.until_done

    async def once(self: Retry, step: str, attempt: Any) -> Any:
        if step != "store":
            return await until_done(self, step, attempt)
        try:
            return await attempt()
        except Unavailable:
            return None

    return patch.object(Retry, "until_done", once)


@mutation("T3: the offset is committed before the announcement", "calm", "killed_anywhere")
def committed_first() -> AbstractContextManager[Any]:
    finish = Finisher.finish

    async def finished(self: Finisher, result: Round) -> None:
        self.offsets |= {it.claim.partition: at for it, at in result.next_offsets.items() if self._holds(it)}
        await self.commit()
        await finish(self, result)

    return patch.object(Finisher, "finish", finished)


@mutation("S11: the inboxes are not told", "first_message")
def inboxes_not_told() -> AbstractContextManager[Any]:
    return patch.object(ProtoEncoder, "notices", lambda self, event: [])


@mutation("W6: an edit shows what was withdrawn before it", "late_edit", "everything")
def withdrawn_shown() -> AbstractContextManager[Any]:
    async def none(self: Owner, events: Any) -> set[tuple[str, int]]:
        return set()

    return patch.object(Owner, "_withdrawn", none)


# The replay


@mutation("a replay numbers what has no row: a repeat, a refusal", "replayed")
def replay_numbers() -> AbstractContextManager[Any]:
    events = Replaying._events

    async def numbered(self: Replaying, entries: Sequence[LoggedEntry], incident: int) -> list[Event]:
        found = await events(self, entries, incident)
        for entry in entries:
            record = replaying_module._record(entry)
            places = self._places.get(record.conversation_id) if record is not None else None
            if record is not None and places and (entry.offset, record.record_id) not in places:
                newest = max(places.values(), key=lambda row: row.seq)
                found.append(event_again(record, replace(newest, seq=newest.seq + 1, record_id=record.record_id)))
        return found

    return patch.object(Replaying, "_events", numbered)


@mutation("a replay writes another time than the one that is stored", "replayed")
def replay_times() -> AbstractContextManager[Any]:
    def later(record: Record, row: Row) -> Event:
        return event_again(record, replace(row, time_us=row.time_us + 1))

    return patch.object(replaying_module, "event_again", later)


@mutation("a replay leaves out the newest record of each partition", "replayed")
def replay_ends_early() -> AbstractContextManager[Any]:
    partition = Replaying._partition

    def shorter(self: Replaying, number: int, start: int, end: int, incident: int) -> Any:
        return partition(self, number, start, end - 1, incident)

    return patch.object(Replaying, "_partition", shorter)


# The owner's end of the relay


@mutation("S2: an Ack names the sequencer's head, which may not be stored", "everything", "subscription_storm")
def ack_of_unstored() -> AbstractContextManager[Any]:
    subscribe = Loader.subscribe

    def subscribed(self: Loader, queue: NodeQueue, names: Sequence[str]) -> None:
        for name in names:
            if self.is_active(name):
                holding = self.holding(name)
                assert holding is not None
                self.hub._relayed[name] = holding.sequencer.head(name).seq
        subscribe(self, queue, names)

    return patch.object(Loader, "subscribe", subscribed)


@mutation("S2: relaying does not advance what the next Ack names", "everything", "subscription_storm")
def relayed_not_advanced() -> AbstractContextManager[Any]:
    def relayed(self: Hub, event: relay.Event) -> None:
        for queue in list(self._subscribers.get(event.conversation_id, ())):
            queue.put(event)

    return patch.object(Hub, "relay", relayed)


@mutation("S3: a conversation that is not loaded is acknowledged at 0", "killed_anywhere", "everything")
def ack_without_load() -> AbstractContextManager[Any]:
    subscribe = Hub.subscribe

    def subscribed(self: Hub, queue: NodeQueue, names: Sequence[str]) -> list[str]:
        for name in names:
            self._relayed.setdefault(name, 0)
        return subscribe(self, queue, names)

    return patch.object(Hub, "subscribe", subscribed)


@mutation("S8: an overflowing queue drops events without a word", "subscription_storm")
def dropped_silently() -> AbstractContextManager[Any]:
    def overflow(self: NodeQueue) -> None:
        self._items = [item for item in self._items if not isinstance(item, relay.Event)]
        self._bytes = 0

    return patch.object(NodeQueue, "_overflow", overflow)


@mutation("S8: a queue has no room for the Acks of all that its node subscribes to", "subscription_storm")
def no_room_for_acks() -> AbstractContextManager[Any]:
    return patch.object(NodeQueue, "_limit", lambda self: self._max_bytes)


@mutation("S9: a key row is answer enough", "answers_lost", "everything")
def answered_by_key() -> AbstractContextManager[Any]:
    return patch.object(Questions, "_is_through", lambda *_: True)


# The node's end


@mutation("S5: what was not pushed is passed over, and nobody is told", "subscription_storm")
def gap_passed() -> AbstractContextManager[Any]:
    def skipped(self: Subscriptions, state: Any, name: str, head: int) -> None:
        state.last = head

    return patch.object(Subscriptions, "_skip_to", skipped)


@mutation("S5: what was pushed is pushed again", "stopped_in_a_round", "everything")
def pushed_twice() -> AbstractContextManager[Any]:
    event = Subscriptions._event

    def received(self: Subscriptions, item: relay.Event) -> None:
        state = self._conversations.get(item.conversation_id)
        if state is not None and state.last is not None and item.seq <= state.last:
            state.last = item.seq - 1
        event(self, item)

    return patch.object(Subscriptions, "_event", received)


@mutation("S7: after a broken stream nobody is told what came meanwhile", "subscription_storm", "everything")
def was_forgotten() -> AbstractContextManager[Any]:
    ack = Subscriptions._ack

    def received(self: Subscriptions, item: relay.Ack) -> None:
        state = self._conversations.get(item.conversation_id)
        if state is not None:
            state.was = None
        ack(self, item)

    return patch.object(Subscriptions, "_ack", received)


@mutation("S7: a broken stream's conversations are not subscribed again", "answers_lost", "everything")
def not_subscribed_again() -> AbstractContextManager[Any]:
    broken = Subscriptions.broken

    def suspended(self: Subscriptions, via: Any) -> None:
        broken(self, via)
        for name in sorted(self._wanted)[1:]:
            del self._wanted[name]

    return patch.object(Subscriptions, "broken", suspended)
