"""Edits, withdrawals, reactions: what they name is there, they did what they say, and nothing else did (protocol W3, W6)."""

from svc.backends.messages_schema import WITHDRAWN
from svc.kernel.ids import message_id
from svc.kernel.record import CHANGES, Kind
from svc.verify.model import StoredEvent, Target
from svc.verify.verdict import Fault, Verdict


def check_change(verdict: Verdict, event: StoredEvent) -> None:
    """An event and the message that it names, or the event that changed it."""
    if (text := _fault(event)) is not None:
        verdict.found(Fault.WRONG, event.conversation_id, event.seq, text)


def _fault(event: StoredEvent) -> str | None:
    if event.body is None:
        return "its body is not what its kind says"
    if not event.is_known:
        return None
    if event.kind in CHANGES:
        return _of_change(event, event.body.target, event.body.content)
    if event.target_seq:
        return f"it is no change, but names {event.target_seq}"
    if event.kind == Kind.MESSAGE:
        return _of_message(event)
    return "an event that is no message was changed" if event.changed else None


def _of_change(event: StoredEvent, named: str, content: str) -> str | None:
    target = event.target
    if event.changed:
        return "a change was itself changed"
    if target is None or event.target_seq >= event.seq:
        return f"it names {event.target_seq}, which is no earlier message"
    if named != message_id(target.record_id, event.target_seq):
        return f"it says that it changes {named}, but belongs to {message_id(target.record_id, event.target_seq)}"
    if target.kind != Kind.MESSAGE:
        return f"it changes {event.target_seq}, which is no message"
    if event.kind != Kind.REACTION and target.sender_id != event.sender_id:
        return f"{event.sender_id} changes what {target.sender_id} wrote"
    if event.kind == Kind.EDIT:
        return _of_edit(event, target, content)
    return _of_withdrawal(event, target) if event.kind == Kind.WITHDRAWAL else None


def _of_edit(event: StoredEvent, target: Target, content: str) -> str | None:
    if target.body_version < event.seq:
        return f"{event.target_seq} does not have its text"
    if target.body_version == event.seq and target.content != content:
        return f"{event.target_seq} has another text than the edit that gave it"
    return None


def _of_withdrawal(event: StoredEvent, target: Target) -> str | None:
    if not target.is_empty:
        return f"{event.target_seq} still has its content"
    return f"{event.target_seq} is not withdrawn for good" if target.body_version < WITHDRAWN + event.seq else None


def _of_message(event: StoredEvent) -> str | None:
    if not event.changed:
        return None
    withdrawn = event.body_version >= WITHDRAWN
    expected = Kind.WITHDRAWAL if withdrawn else Kind.EDIT
    cause = event.cause
    if cause is None or cause.kind != expected or cause.target_seq != event.seq or cause.seq <= event.seq:
        return f"it was changed by {event.body_version % WITHDRAWN}, which is no {expected.name.lower()} of it"
    return "it was withdrawn and still has its content" if withdrawn and not event.is_empty else None
