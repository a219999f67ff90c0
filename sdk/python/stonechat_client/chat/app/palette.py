"""What the command palette offers: conversations to open, and what can be done here and now."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content


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
            yield DiscoveryHit(Content(offer.title), offer.do, offer.title, _plain(offer.what))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for offer in self._offering.offers():
            score, offsets = matcher.fuzzy_search.match(query, offer.title)
            if score > 0:
                title = Content(offer.title)
                for place in offsets:
                    title = title.stylize(self.match_style or "bold", place, place + 1)
                yield Hit(score, title, offer.do, offer.title, _plain(offer.what))
        name = query.strip()
        if name and " " not in name:
            title = Content(f"Open or begin the conversation with {name}")
            what = _plain("a user, or a group of yours")
            yield Hit(0.01, title, lambda: self._offering.open_called(name), help=what)


def _plain(text: str) -> str:
    """Text of others. The palette reads a string as markup, which it must not be; content it takes as it is."""
    return Content(text)  # type: ignore[return-value]
