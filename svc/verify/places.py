"""What clients say of single events, held against what is stored: what they saw, and what was acknowledged to them."""

from collections.abc import Iterator

from stonechat_client.digest import content_digest
from svc.backends.messages_schema import WITHDRAWN
from svc.kernel.frames import shown_key
from svc.kernel.ids import message_id
from svc.kernel.record import KEY_WINDOW_US, Kind
from svc.verify.model import StoredEvent
from svc.verify.testimony import Said, Saw, Sent
from svc.verify.verdict import Fault, Verdict

_GONE = content_digest("", "")


class Places:
    """Takes the events of one conversation by seq, beside the lines about them, also by seq."""

    def __init__(self, verdict: Verdict, conversation_id: str, said: Iterator[Said]) -> None:
        self._verdict = verdict
        self._name = conversation_id
        self._said = said
        self._next = next(said, None)
        # Per changed message: texts that it is known to have had, and those that somebody saw, with the first who did.
        self._known: dict[int, set[str]] = {}
        self._seen: dict[int, dict[str, str]] = {}

    def take(self, event: StoredEvent) -> None:
        """The next event."""
        self._skip(event.seq)
        if event.kind == Kind.EDIT and event.body is not None:
            self._known.setdefault(event.target_seq, set()).add(event.body.content)
        while self._next is not None and self._next.what.seq == event.seq:
            self._compare(self._next, event)
            self._advance()

    def end(self) -> None:
        """There are no more events."""
        self._skip(None)
        for seq, seen in self._seen.items():
            # What it said before its first edit is stored no more. All who saw that must have seen the same.
            firsts = [(content, where) for content, where in seen.items() if content not in self._known.get(seq, ())]
            for _, where in firsts[1:]:
                text = f"it was seen with a text that it never had, or another than {firsts[0][1]} saw"
                self._verdict.found(Fault.REORDERED, self._name, seq, text, where)

    def _advance(self) -> None:
        self._next = next(self._said, None)

    def _skip(self, seq: int | None) -> None:
        """Whatever is said of places below seq is said of what is not stored."""
        while self._next is not None and (seq is None or self._next.what.seq < seq):
            said, what = self._next, self._next.what
            if isinstance(what, Sent):
                text = f"{what.message_id} ({what.client_message_id}) was acknowledged and is not stored"
            else:
                text = "it was seen and is not stored"
            self._verdict.found(Fault.LOST, self._name, what.seq, text, said.where)
            self._advance()

    def _compare(self, said: Said, event: StoredEvent) -> None:
        if isinstance(said.what, Saw):
            self._compare_seen(said.what, said.where, event)
        elif isinstance(said.what, Sent):
            self._compare_sent(said.what, said, event)

    def _compare_sent(self, sent: Sent, said: Said, event: StoredEvent) -> None:
        key, name = shown_key(event.client_message_id), message_id(event.record_id, event.seq)
        acknowledged = (said.ledger.user_id, sent.client_message_id, sent.message_id)
        if (event.sender_id, key, name) == acknowledged and event.kind != Kind.UNPROCESSABLE:
            return
        stored = f"{name} ({key or 'no client id'}) of {event.sender_id}, kind {event.kind}"
        text = f"{sent.message_id} ({sent.client_message_id}) was acknowledged; stored here is {stored}"
        self._verdict.found(Fault.LOST, self._name, event.seq, text, said.where)

    def _compare_seen(self, saw: Saw, where: str, event: StoredEvent) -> None:
        head, _, content = saw.digest.partition("-")
        body = event.body
        if body is None:
            return  # a finding of its own
        if head != event.head or bool(content) != bool(body.content):
            self._verdict.found(Fault.REORDERED, self._name, event.seq, "another event was seen here", where)
        elif content == body.content or self._is_withdrawn(event, content):
            pass
        elif event.kind == Kind.MESSAGE and event.changed:
            self._seen.setdefault(event.seq, {}).setdefault(content, where)
        else:
            self._verdict.found(Fault.REORDERED, self._name, event.seq, "it was seen with another text", where)

    @staticmethod
    def _is_withdrawn(event: StoredEvent, content: str) -> bool:
        # An edit of what is withdrawn is shown without its text, also when it came later.
        version = event.body_version if event.target is None else event.target.body_version
        return content == _GONE and version >= WITHDRAWN


class Sends:
    """Acknowledgements of one conversation, by user, client message id and seq: one send has one place, for 24 hours."""

    def __init__(self, verdict: Verdict, conversation_id: str, said: Iterator[Said]) -> None:
        self._verdict = verdict
        self._name = conversation_id
        self._pairs: list[tuple[Said, int, Said, int]] = []
        self._times: dict[int, int] = {}
        before: tuple[Said, Sent] | None = None
        for one in said:
            sent = one.what
            if not isinstance(sent, Sent):
                continue
            if before is not None and sent.client_message_id and self._is_again(before, one, sent):
                self._pairs.append((before[0], before[1].seq, one, sent.seq))
            before = one, sent
        self._wanted = {seq for pair in self._pairs for seq in (pair[1], pair[3])}

    @staticmethod
    def _is_again(before: tuple[Said, Sent], one: Said, sent: Sent) -> bool:
        same = (before[0].ledger.user_id, before[1].client_message_id) == (one.ledger.user_id, sent.client_message_id)
        return same and before[1].seq != sent.seq

    def take(self, event: StoredEvent) -> None:
        """The next event."""
        if event.seq in self._wanted:
            self._times[event.seq] = event.time_us

    def end(self) -> None:
        """There are no more events."""
        for first, seq, second, again in self._pairs:
            if self._times.get(again, 0) - self._times.get(seq, 0) > KEY_WINDOW_US:
                continue
            what = second.what
            key = what.client_message_id if isinstance(what, Sent) else ""
            text = f"{key} was acknowledged here, and at {seq} ({first.where})"
            self._verdict.found(Fault.DOUBLED, self._name, again, text, second.where)
