"""What the checks need from outside. Calls block. Every one raises `Unavailable` when what it reads cannot be read."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from svc.verify.model import Member, NamedKey, StoredEvent, Twin
from svc.verify.testimony import Ledger, Problem, Said


class Snapshot(Protocol):
    """One conversation at one moment: nothing that is stored meanwhile is judged by any of the calls."""

    def events(self) -> Iterator[StoredEvent]:
        """Every event in order of seq, streamed."""
        ...

    def keys(self) -> Iterator[NamedKey]:
        """Every key row, in any order."""
        ...

    def same_key(self) -> Iterator[Twin]:
        """Events whose (sender, client message id) others have as well, by key, then by seq."""
        ...

    def same_record(self) -> Iterator[Twin]:
        """Events whose Snowflake others have as well, by Snowflake, then by seq."""
        ...

    def lists(self, users: Iterable[str]) -> dict[str, Member | None]:
        """What the lists of conversations of these users say of this one, and those of any others that have it; None: it was
        changed after that moment."""
        ...


class Archive(Protocol):
    """Everything that is stored. What was acknowledged to anybody before a call is seen by it."""

    def next_conversation(self, after: str) -> str | None:
        """The first conversation behind this one, in order of ids, of which anything is stored; None: there is none."""
        ...

    def conversation(self, conversation_id: str) -> AbstractContextManager[Snapshot]:
        """A conversation as it is now; without events when nothing is known of it."""
        ...


class Testimony(Protocol):
    """What was read out of all ledgers, by conversation."""

    def ledgers(self) -> list[Ledger]:
        """All of them, also those without a line."""
        ...

    def next_conversation(self, after: str) -> str | None:
        """The first conversation behind this one, in order of ids, that a ledger speaks of; None: there is none."""
        ...

    def in_order(self, conversation_id: str) -> Iterator[Said]:
        """What ledgers say of it: one ledger after the other, each in order of its lines."""
        ...

    def by_place(self, conversation_id: str) -> Iterator[Said]:
        """The lines about an event of it (Saw, Sent), by seq."""
        ...

    def by_send(self, conversation_id: str) -> Iterator[Said]:
        """Its acknowledgements, by user, client message id and seq."""
        ...

    def problems(self) -> Iterator[tuple[str, Problem]]:
        """What clients noticed by themselves, and where that is written."""
        ...
