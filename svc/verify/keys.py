"""Idempotency: nothing is stored twice, and the key rows say of each event what it is (protocol L6)."""

from collections.abc import Iterable

from svc.kernel.record import KEY_WINDOW_US, Kind
from svc.verify.model import NamedKey, StoredEvent, Twin
from svc.verify.verdict import Fault, Verdict


def check_key(verdict: Verdict, event: StoredEvent, kept_since_us: int) -> None:
    """An event and the row of its key. Rows of events before `kept_since_us` may have been removed."""
    if event.kind == Kind.UNPROCESSABLE:
        return  # it gets none, so that its replay is a new event (L8)
    if (text := _fault(event, kept_since_us)) is not None:
        verdict.found(Fault.WRONG, event.conversation_id, event.seq, text)


def _fault(event: StoredEvent, kept_since_us: int) -> str | None:
    key = event.key
    if key is None:
        return "there is no key row: a repeat of it would be stored again" if event.time_us >= kept_since_us else None
    if key.seq > event.seq:
        return None  # the key was used again, after its time; `check_twins` says whether it might be
    if (key.seq, key.record_id) != (event.seq, event.record_id):
        return f"its key row answers a repeat with {key.record_id}.{key.seq}, it is {event.record_id}.{event.seq}"
    if (key.position, key.time_us) != (event.position, event.time_us):
        return f"its key row says {key.position} at {key.time_us}, it is {event.position} at {event.time_us}"
    if event.asked is not None and key.digest != event.asked:
        return "what is stored is not what its key row says was asked"
    return None


def check_named(verdict: Verdict, conversation_id: str, keys: Iterable[NamedKey]) -> None:
    """Each key row names an event that has the key: else a repeat is answered with what is not there."""
    for key in keys:
        whose = f"a key row says that {key.client_message_id} of {key.sender_id} is stored here"
        if key.event_key is None:
            verdict.found(Fault.LOST, conversation_id, key.seq, f"{whose}; there is no event")
        elif key.event_key != (key.sender_id, key.client_message_id):
            sender, name = key.event_key
            verdict.found(Fault.WRONG, conversation_id, key.seq, f"{whose}; it is {name} of {sender}")


def check_twins(verdict: Verdict, conversation_id: str, same_key: Iterable[Twin], same_record: Iterable[Twin]) -> None:
    """No key is used again within 24 hours of log time, no record is numbered twice. Unprocessable events do not count: what
    they stand for may be replayed."""
    for twins, window_us in ((same_key, KEY_WINDOW_US), (same_record, None)):
        before: Twin | None = None
        for twin in twins:
            if twin.kind == Kind.UNPROCESSABLE:
                continue
            same = before is not None and before.what == twin.what
            if before is not None and same and (window_us is None or twin.time_us - before.time_us <= window_us):
                text = f"{twin.what} is stored at {before.seq} already"
                verdict.found(Fault.DOUBLED, conversation_id, twin.seq, text)
            before = twin
