"""One Envoy's delta stream: what it asked for, what it knows, and so what it must be told next.

The rules are those of Envoy's docs, api-docs/xds_protocol ("Incremental xDS"). Nothing here waits or sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from svc.controlplane.snapshot import PUSH_ORDER, Resource, Snapshot

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Request:
    """What Envoy says: a change of what it wants, an answer to an update, or both. `refusal` is why it took nothing."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """What Envoy is told: resources to take, names to forget. The nonce comes back with its answer."""

    type_url: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    nonce: str


class _Interest:
    """What one Envoy wants of one type."""

    def __init__(self, first: Request) -> None:
        # A first request without names asks for everything; it is owed an answer even when there is nothing.
        self.everything = not first.subscribe
        self.names: set[str] = set()
        self.known = dict(first.initial_versions)
        self.owed = set(first.subscribe) - set(first.initial_versions) - {EVERYTHING}
        self.owed_any = self.everything
        self.unanswered = ""

    def change(self, request: Request) -> None:
        for name in request.subscribe:
            if name == EVERYTHING:
                self.everything = self.owed_any = True
            else:
                self.names.add(name)
        for name in request.unsubscribe:
            if name == EVERYTHING:
                self.everything = False
                self.known = {known: version for known, version in self.known.items() if known in self.names}
            elif self.everything:
                self.owed.add(name)
            else:
                self.known.pop(name, None)
                self.owed.discard(name)
            self.names.discard(name)

    def due(self, available: Mapping[str, Resource]) -> tuple[list[Resource], list[str]]:
        wanted = self.names | set(available) if self.everything else self.names
        send = [
            found
            for name in sorted(wanted)
            if (found := available.get(name)) and (name in self.owed or self.known.get(name) != found.version)
        ]
        return send, sorted(name for name in {*self.known, *self.owed} if name not in available)


class DeltaStream:
    """One stream, from its first request to its end. At most one update of a type is unanswered; what changes meanwhile is
    told in one go after the answer, so a slow Envoy holds up nothing and nothing piles up for it."""

    def __init__(self) -> None:
        self._interests: dict[str, _Interest] = {}
        self._sent = 0

    def receive(self, request: Request) -> None:
        """Take in what Envoy said. A refused version is not sent again: only a newer one is."""
        interest = self._interests.get(request.type_url)
        if interest is None:
            interest = self._interests[request.type_url] = _Interest(request)
        else:
            # Asking again for what one has means to be sent it again.
            interest.owed |= set(request.subscribe) - {EVERYTHING}
        interest.change(request)
        if request.nonce and request.nonce == interest.unanswered:
            interest.unanswered = ""

    def due(self, now: Snapshot) -> list[Update]:
        """What Envoy must be told now, in the order of sending. Counts as sent."""
        updates = []
        for type_url in (*PUSH_ORDER, *sorted(set(self._interests) - set(PUSH_ORDER))):
            interest = self._interests.get(type_url)
            if interest is None or interest.unanswered:
                continue
            send, removed = interest.due(now.of(type_url))
            if not (send or removed or interest.owed_any):
                continue
            self._sent += 1
            interest.unanswered = str(self._sent)
            interest.owed.clear()
            interest.owed_any = False
            for name in removed:
                interest.known.pop(name, None)
            interest.known |= {each.name: each.version for each in send}
            updates.append(Update(type_url, tuple(send), tuple(removed), interest.unanswered))
        return updates
