"""What the edge asks of the process it supervises."""

from typing import Protocol


class Proxy(Protocol):
    """One proxy process at a time."""

    async def start(self) -> None:
        """Start the process. It may be called again when the former one has ended. Raises StartError when it cannot."""
        ...

    async def serving(self) -> bool:
        """It accepts calls from clients. False, never an error, while it does not."""
        ...

    async def ended(self) -> str:
        """Wait until the process has ended; says how, for people."""
        ...

    async def stop(self) -> None:
        """End the process: ask clients to leave, wait within the drain time, then insist. Idempotent; also ends it at once
        when cancelled."""
        ...

    def last_words(self) -> str:
        """The last lines of the newest process, oldest first."""
        ...
