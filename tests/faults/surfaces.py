"""What each surface answers about one conversation, as bytes: is a text in it or not?"""

import struct

import grpc
import httpx
from google.protobuf.message import Message
from redis.asyncio import Redis

from stonechat.history.v1 import history_service_pb2 as history
from svc.backends.sealing import parse_master_keys
from svc.kernel import addresses
from svc.kernel.record import Kind
from tests.backends import cassandra as keyspaces
from tests.faults.clients import Account
from tests.faults.installation import Installation

_HISTORY = "/stonechat.history.v1.HistoryService/"


class Surfaces:
    """REST, gRPC, grpc-web: a page of events, a page of messages, and the list of conversations of a user."""

    def __init__(self, url: str, account: Account, conversation_id: str) -> None:
        self._url = url
        self._account = account
        self._name = conversation_id

    async def read(self, after_seq: int, before_message: str) -> dict[str, bytes]:
        """Surface and page → the answer, or all of them joined where it is the newest that counts."""
        events = history.ListEventsRequest(conversation_id=self._name, after_seq=after_seq, limit=500)
        messages = history.ListMessagesRequest(conversation_id=self._name, last_message_id=before_message, limit=200)
        requests: dict[str, Message] = {
            "ListEvents": events,
            "ListMessages": messages,
            "ListConversations": history.ListConversationsRequest(),
        }
        found = {}
        target = self._url.removeprefix("http://")
        async with (
            httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=15, headers=self._account.header) as http,
            grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel,
        ):
            for method, request in requests.items():
                found[f"gRPC {method}"] = await self._grpc(channel, method, request)
                found[f"grpc-web {method}"] = await self._web(http, method, request)
            urls = {
                "events": (f"/v1/conversations/{self._name}/events", {"afterSeq": after_seq, "limit": 500}),
                "messages": (f"/v1/messages/{self._name}", {"lastMessageId": before_message, "limit": 200}),
                "conversations": ("/v1/conversations", {}),
            }
            for name, (url, params) in urls.items():
                found[f"REST {name}"] = (await http.get(url, params=params)).raise_for_status().content
        return found

    async def _grpc(self, channel: grpc.aio.Channel, method: str, request: Message) -> bytes:
        call = channel.unary_unary(_HISTORY + method, request_serializer=lambda it: it.SerializeToString())
        return bytes(await call(request, metadata=tuple(self._account.header.items()), timeout=15))

    async def _web(self, http: httpx.AsyncClient, method: str, request: Message) -> bytes:
        body = request.SerializeToString()
        headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        framed = struct.pack(">BI", 0, len(body)) + body
        answer = (await http.post(_HISTORY + method, content=framed, headers=headers)).raise_for_status()
        assert b"grpc-status:0" in answer.content.replace(b" ", b""), answer.content[-200:]
        return answer.content


async def cells(installation: Installation, conversation_id: str, kind: Kind) -> dict[int, tuple[bytes, int]]:
    """What lies in the store: seq → (body as it can be opened with the master key, the version of its cell)."""
    place = addresses.parse(addresses.CASSANDRA, installation.settings["CASSANDRA"])
    seal, found = parse_master_keys(installation.settings["MASTER_KEYS"]), dict[int, tuple[bytes, int]]()
    for bucket in range(100):
        rows = await keyspaces.command(
            place,
            f"SELECT seq, kind, body, writetime(body) FROM {place.name}.events"
            f" WHERE conversation_id = '{conversation_id}' AND bucket = {bucket}",
        )
        if not rows:
            break
        for seq, of_kind, body, version in rows:
            if of_kind == kind:
                found[seq] = seal.open(conversation_id, seq, kind, body), version
    return found


async def redis_holds(installation: Installation, text: bytes) -> tuple[int, list[bytes]]:
    """How many keys the installation has in Redis, and those of them that hold a text."""
    place = addresses.parse(addresses.REDIS, installation.settings["REDIS"])
    host, port = place.hosts[0]
    async with Redis(host=host, port=port) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{place.name}:*", count=1000)]
        return len(keys), [key for key in keys if text in key or text in (await redis.dump(key) or b"")]
