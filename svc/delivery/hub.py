"""Who subscribed to what, and what waits for them: the owner's end of the relay streams (protocol S1–S3, S8, S9).

A pure state machine: no I/O, no clock. Every method is a single step without an await, which is what makes an Ack exact.
"""

from collections.abc import Callable, Sequence

from svc.kernel.relay import Ack, Answer, Event, Item, Moved, NotOwner, Signal, Tick

QUEUE_BYTES = 8 << 20
_ITEM_BYTES = 120


class NodeQueue:
    """What waits for one node. `wake` is called when there is something to take or the queue has ended."""

    def __init__(self, node: str, wake: Callable[[], None], max_bytes: int = QUEUE_BYTES) -> None:
        self.node = node
        self.ended = False
        self.overflows = 0
        self.subscribed: set[str] = set()
        self._wake = wake
        self._max_bytes = max_bytes
        self._items: list[Item] = []
        self._bytes = 0

    def put(self, item: Item) -> None:
        """Queue an item. Too much: all events give way to one Moved for each conversation; nothing is dropped silently."""
        if self.ended:
            return
        self._items.append(item)
        self._bytes += _size(item)
        if self._bytes > self._limit():
            self._overflow()
        self._wake()

    def take(self) -> Sequence[Item]:
        """All that waits, in order."""
        items, self._items, self._bytes = self._items, [], 0
        return items

    def end(self) -> None:
        """Nothing comes any more: the node opens a new stream."""
        self.ended = True
        self._items, self._bytes = [], 0
        self._wake()

    def _limit(self) -> int:
        # An Ack and a Moved for each subscription always fit: a node with very many could never open a stream otherwise.
        return self._max_bytes + 2 * _ITEM_BYTES * len(self.subscribed)

    def _overflow(self) -> None:
        kept: list[Item] = []
        acks: dict[str, Item] = {}
        heads: dict[str, int] = {}
        for item in self._items:
            if isinstance(item, Event):
                heads[item.conversation_id] = max(item.seq, heads.get(item.conversation_id, 0))
            elif isinstance(item, Moved):
                heads[item.conversation_id] = max(item.head, heads.get(item.conversation_id, 0))
            elif isinstance(item, Ack):
                acks[item.conversation_id] = item
            elif not isinstance(item, Signal):
                kept.append(item)
        # Acks stay and come first: a pending conversation ignores everything before its Ack.
        moved = [Moved(conversation_id, head) for conversation_id, head in heads.items()]
        self._items = [*kept, *acks.values(), *moved]
        self._bytes = sum(_size(item) for item in self._items)
        self.overflows += 1
        if self._bytes > self._limit():
            self.end()


def _size(item: Item) -> int:
    return _ITEM_BYTES + len(item.frame) if isinstance(item, Event | Signal) else _ITEM_BYTES


class Hub:
    """The subscriptions at one instance. `claim_of` says by which claim a conversation is owned, `is_active` whether its
    sequencer has it loaded."""

    def __init__(self, claim_of: Callable[[str], int], is_active: Callable[[str], bool]) -> None:
        self._claim_of = claim_of
        self._is_active = is_active
        # Per conversation: the highest event that is stored and was handed to its subscribers.
        self._relayed: dict[str, int] = {}
        self._subscribers: dict[str, dict[NodeQueue, None]] = {}
        self._waiting: dict[str, dict[NodeQueue, None]] = {}
        self._queues: dict[str, NodeQueue] = {}

    def open(self, queue: NodeQueue) -> None:
        """A node opened its stream; an older one of the same node ends."""
        if (older := self._queues.pop(queue.node, None)) is not None:
            self.close(older)
        self._queues[queue.node] = queue

    def close(self, queue: NodeQueue) -> None:
        """A stream is gone, and its subscriptions with it."""
        queue.end()
        if self._queues.get(queue.node) is queue:
            del self._queues[queue.node]
        self.unsubscribe(queue, list(queue.subscribed))

    def close_all(self) -> None:
        """The owner is gone."""
        for queue in list(self._queues.values()):
            self.close(queue)

    def subscribe(self, queue: NodeQueue, conversation_ids: Sequence[str]) -> list[str]:
        """Subscribe a node. Returns the conversations that must be loaded before they can be acknowledged (S3)."""
        absent = []
        for conversation_id in conversation_ids:
            if queue.ended:
                break
            queue.subscribed.add(conversation_id)
            if conversation_id in self._relayed:
                self._acknowledge(queue, conversation_id)
            else:
                self._waiting.setdefault(conversation_id, {})[queue] = None
                absent.append(conversation_id)
        return absent

    def unsubscribe(self, queue: NodeQueue, conversation_ids: Sequence[str]) -> None:
        """A node no longer wants conversations."""
        for conversation_id in conversation_ids:
            queue.subscribed.discard(conversation_id)
            for table in (self._subscribers, self._waiting):
                if (queues := table.get(conversation_id)) is not None:
                    queues.pop(queue, None)
                    if not queues:
                        del table[conversation_id]
            self.idle(conversation_id)

    def loaded(self, conversation_id: str, head: int) -> None:
        """The head of a conversation is known: acknowledge who waits."""
        self._relayed.setdefault(conversation_id, head)
        for queue in self._waiting.pop(conversation_id, {}):
            self._acknowledge(queue, conversation_id)

    def waiting(self) -> list[str]:
        """Conversations that somebody subscribed to whose heads are not known yet."""
        return list(self._waiting)

    def refused(self, conversation_id: str) -> None:
        """The conversation is not ours."""
        for queue in self._waiting.pop(conversation_id, {}):
            queue.subscribed.discard(conversation_id)
            queue.put(NotOwner(conversation_id))

    def gave(self, gone: Callable[[str], bool]) -> None:
        """Conversations that are not ours any more: everybody who subscribed to one is told, after all that was relayed."""
        for conversation_id in [name for name in self._relayed.keys() | self._waiting.keys() if gone(name)]:
            self.refused(conversation_id)
            for queue in self._subscribers.pop(conversation_id, {}):
                queue.subscribed.discard(conversation_id)
                queue.put(NotOwner(conversation_id))
            self._relayed.pop(conversation_id, None)

    def relay(self, event: Event) -> None:
        """An event is stored: advance, and hand it to all subscribers, in one step (S2). A conversation that has left meanwhile
        has none."""
        relayed = self._relayed.get(event.conversation_id)
        if relayed is None:
            return
        self._relayed[event.conversation_id] = max(event.seq, relayed)
        for queue in list(self._subscribers.get(event.conversation_id, ())):
            queue.put(event)

    def answer(self, node: str, answer: Answer) -> None:
        """Answer a request, whatever its node subscribes to (S9)."""
        if (queue := self._queues.get(node)) is not None:
            queue.put(answer)

    def signal(self, signal: Signal) -> None:
        """Hand an ephemeral event to all subscribers."""
        for queue in self._subscribers.get(signal.conversation_id, ()):
            queue.put(signal)

    def tick(self) -> None:
        """The streams live."""
        for queue in list(self._queues.values()):
            queue.put(Tick())

    def idle(self, conversation_id: str) -> None:
        """Forget a conversation that nobody subscribes to and the sequencer does not hold."""
        if conversation_id not in self._subscribers and not self._is_active(conversation_id):
            self._relayed.pop(conversation_id, None)

    def _acknowledge(self, queue: NodeQueue, conversation_id: str) -> None:
        self._subscribers.setdefault(conversation_id, {})[queue] = None
        queue.put(Ack(conversation_id, self._relayed[conversation_id], self._claim_of(conversation_id)))
