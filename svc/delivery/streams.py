"""The owner's end of relay streams, inside the process (protocol S1): what `svc.kernel.relay` promises, straight on the hub.

Messaging in the same process uses it as it is; the gRPC servicer wraps it.
"""

import asyncio
from collections.abc import Sequence

from svc.delivery.hub import NodeQueue
from svc.delivery.owner import Owner
from svc.kernel import telemetry
from svc.kernel.errors import Unavailable
from svc.kernel.registry import Instance
from svc.kernel.relay import Item, Signal, Unanswered


class OwnerStreams:
    """Opens streams to the owner that serves now; its partitions come and go under them."""

    def __init__(self) -> None:
        self.owner: Owner | None = None

    async def open(self, node: str, instance: Instance | None = None) -> "OwnerStream":
        """A stream for a node; the instance is this one. Raises Unavailable while it begins anew."""
        if self.owner is None:
            raise Unavailable("no owner yet")
        return OwnerStream(self.owner, node)


class OwnerStream:
    """One stream to one owner. It ends with the owner, or when the node opens another."""

    def __init__(self, owner: Owner, node: str) -> None:
        self._owner = owner
        self._wake = asyncio.Event()
        self._queue = NodeQueue(node, self._wake.set)
        owner.hub.open(self._queue)

    def subscribe(self, conversation_ids: Sequence[str]) -> None:
        self._owner.loader.subscribe(self._queue, conversation_ids)

    def unsubscribe(self, conversation_ids: Sequence[str]) -> None:
        self._owner.hub.unsubscribe(self._queue, conversation_ids)

    def unanswered(self, requests: Sequence[Unanswered]) -> None:
        self._owner.questions.ask(self._queue.node, requests)

    def signal(self, signal: Signal) -> None:
        self._owner.hub.signal(signal)

    async def receive(self) -> Sequence[Item]:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._queue.ended:
                await self.close()
                raise Unavailable("the stream has ended")
            if items := self._queue.take():
                return items

    async def close(self) -> None:
        telemetry.RELAY_OVERFLOWS.inc(self._queue.overflows)
        self._queue.overflows = 0
        self._owner.hub.close(self._queue)
