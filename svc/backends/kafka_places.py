"""Where things stand in Kafka: which partitions there are, where they begin and end, what groups have committed.

Asked by a client of its own: a connection that waits for records answers nothing else meanwhile. Groups are only names here,
nobody joins one. The calls of aiokafka for committed offsets are not used: they take a coordinator that is still loading for a
group that has committed nothing (0.14.0 does not look at the error of the whole answer).
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaConnectionError, KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from svc.backends.kafka import CALL_SECONDS, ended, options, shown, translated
from svc.kernel.addresses import Address
from svc.kernel.errors import Unavailable

T = TypeVar("T")

_END, _OLDEST = -1, -2  # ListOffsets
_NO_GENERATION, _NO_MEMBER, _AS_CONFIGURED = -1, "", -1  # OffsetCommit
_REPEAT_SECONDS = 0.1


class Places:
    """Calls raise Unavailable when there is no answer in CALL_SECONDS, repeats included."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: AIOKafkaClient | None = None
        self._opening = asyncio.Lock()
        self._unanswered_since: float | None = None
        self._coordinators: dict[str, int] = {}

    async def ping(self) -> None:
        """Raises Unavailable when no broker answers."""

        async def ask(client: AIOKafkaClient) -> None:
            if not await client.force_metadata_update():
                raise KafkaConnectionError("no broker answers")

        await self._asked("answered", ask)

    async def partitions(self, topic: str) -> list[int]:
        """Those there are at this moment, in order."""
        return await self._asked("said which partitions there are", lambda client: _partitions(client, topic))

    async def ends(self, topic: str) -> dict[int, int]:
        """Per partition, the offset that its next entry will get."""

        async def ask(client: AIOKafkaClient) -> dict[int, int]:
            return await _offsets(client, topic, await _partitions(client, topic), _END)

        return await self._asked("said where the log ends", ask)

    async def since(self, topic: str, time_ms: int) -> dict[int, int]:
        """Per partition, the offset of its first entry of this time or later; missing: there is none."""

        async def ask(client: AIOKafkaClient) -> dict[int, int]:
            found = await _offsets(client, topic, await _partitions(client, topic), time_ms)
            return {partition: offset for partition, offset in found.items() if offset >= 0}

        return await self._asked("said what it holds since a time", ask)

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The oldest offset that is kept, and the end."""

        async def ask(client: AIOKafkaClient) -> tuple[int, int]:
            oldest, end = await asyncio.gather(
                _offsets(client, topic, [partition], _OLDEST), _offsets(client, topic, [partition], _END)
            )
            return oldest[partition], end[partition]

        return await self._asked("said where a partition begins and ends", ask)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """Per partition, what a group has committed; missing: nothing."""

        async def ask(client: AIOKafkaClient) -> dict[int, int]:
            answer = await client.send(await self._coordinator(client, group), OffsetFetchRequest(group, None))
            _check(answer.error_code)
            found = {}
            for name, partitions in answer.topics:
                for partition, offset, _, code in partitions:
                    _check(code)
                    if name == topic and offset > 0:
                        found[partition] = offset
            return found

        return await self._asked("said what is committed", ask)

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Store what a group has committed."""
        places = [(partition, offset, "") for partition, offset in offsets.items()]

        async def ask(client: AIOKafkaClient) -> None:
            request = OffsetCommitRequest(group, _NO_GENERATION, _NO_MEMBER, _AS_CONFIGURED, [(topic, places)])
            answer = await client.send(await self._coordinator(client, group), request)
            for _, partitions in answer.topics:
                for _, code in partitions:
                    _check(code)

        await self._asked("committed", ask)

    async def close(self) -> None:
        """End its connections."""
        client, self._client = self._client, None
        if client is not None:
            await ended(client.close())

    async def _asked(self, what: str, ask: Callable[[AIOKafkaClient], Awaitable[T]]) -> T:
        trouble = ""
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        with translated(what):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    while True:
                        client = await self._open()
                        try:
                            answer = await ask(client)
                        except KafkaError as error:
                            if not error.retriable:
                                raise
                            trouble = shown(error)
                        else:
                            self._unanswered_since = None
                            return answer
                        self._coordinators.clear()
                        await asyncio.sleep(random.uniform(0, _REPEAT_SECONDS))  # noqa: S311 - jitter, not a secret
                        await client.force_metadata_update()
            except TimeoutError as error:
                raise Unavailable(f"Kafka has not {what} in time{trouble and ': '}{trouble}") from error

    async def _open(self) -> AIOKafkaClient:
        async with self._opening:
            since = self._unanswered_since
            if since is not None and time.monotonic() - since > CALL_SECONDS:
                # Perhaps every broker that it knows has moved: begin at the address.
                self._unanswered_since = None
                await self.close()
            if self._client is None:
                client = AIOKafkaClient(**options(self._address))
                try:
                    await client.bootstrap()
                except BaseException:
                    await ended(client.close())
                    raise
                self._coordinators.clear()
                self._client = client
            return self._client

    async def _coordinator(self, client: AIOKafkaClient, group: str) -> int:
        if group not in self._coordinators:
            self._coordinators[group] = await client.coordinator_lookup(CoordinationType.GROUP, group)
        return self._coordinators[group]


async def _partitions(client: AIOKafkaClient, topic: str) -> list[int]:
    # Asked anew each time: another process may have made more, and where there is one that we do not know of, a committed
    # offset in it would look like an incident of the log.
    client.add_topic(topic)
    if not await client.force_metadata_update():
        raise KafkaConnectionError("no broker tells which partitions there are")
    found = client.cluster.partitions_for_topic(topic)
    if not found:
        raise LeaderNotAvailableError(f"topic {topic} is not known")
    return sorted(found)


async def _offsets(client: AIOKafkaClient, topic: str, partitions: Iterable[int], which: int) -> dict[int, int]:
    """`which`: _END, _OLDEST, or a time in ms: the first entry since then, -1 for none."""
    by_leader: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for partition in partitions:
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if leader is None or leader == -1:
            raise LeaderNotAvailableError(f"{topic} partition {partition}")
        by_leader[leader].append((partition, which))
    found = {}
    for leader, asked in by_leader.items():
        answer = await client.send(leader, OffsetRequest(-1, 0, [(topic, asked)]))
        for _, told in answer.topics:
            for partition, code, _, offset in told:
                _check(code)
                found[partition] = offset
    return found


def _check(code: int) -> None:
    if code:
        raise for_code(code)()
