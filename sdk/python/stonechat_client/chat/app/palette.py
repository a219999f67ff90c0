"""What the command palette offers: conversations to open, and what can be done here and now."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from textual.command import DiscoveryHit, Hit, Hits, Provider


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to do."""

    title: str
    what: str
    do: Callable[[], None]


class Offering(Protocol):
    """An app that has something to offer."""

    def offers(self) -> Iterator[Offer]:
        """All that can be done now, in the order in which it is listed."""

    def open_called(self, name: str) -> None:
        """Open the conversation with a user or a group."""


class Offers(Provider):
    """The offers of the app; and, for what is none of them, a conversation with a user of that name."""

    @property
    def _offering(self) -> Offering:
        return self.app  # type: ignore[return-value]

    async def discover(self) -> Hits:
        for offer in self._offering.offers():
            yield DiscoveryHit(offer.title, offer.do, help=offer.what)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for offer in self._offering.offers():
            if (score := matcher.match(offer.title)) > 0:
                yield Hit(score, matcher.highlight(offer.title), offer.do, text=offer.title, help=offer.what)
        name = query.strip()
        if name and " " not in name:
            title = f"Open or begin the conversation with {name}"
            yield Hit(0.01, title, lambda: self._offering.open_called(name), help="a user, or a group of yours")
