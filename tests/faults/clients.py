"""Clients that live through faults: one over the gRPC stream, one over REST and Poll, both through Envoy.

Each repeats a send with the same id until it is acknowledged, reconnects with what it knows, pulls what it missed, and keeps
a ledger of all of it. What a server may answer when it is not well is written down in `EXCUSED`; anything else is a fault.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import httpx
from google.protobuf import json_format
from google.rpc import code_pb2

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event, Result, Sent
from tests.faults.follower import Follower
from tests.faults.ledger import Ledger

_CONNECT = "/stonechat.messaging.v1.MessagingService/Connect"
_PAUSE_SECONDS = 0.05
_CALL_SECONDS = 15.0
_READ_AGAIN_SECONDS = 0.5
# 504: what reached the log after its deadline was not sent, and is sent again.
EXCUSED = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", 503, 504})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """A user, signed in."""

    user_id: str
    access_token: str
    refresh_token: str

    @property
    def header(self) -> dict[str, str]:
        """Proves who calls."""
        return {"authorization": f"Bearer {self.access_token}"}


async def sign_up(http: httpx.AsyncClient, username: str) -> Account:
    """A new account, and its first device."""
    whom = {"username": username, "password": "correct horse"}
    (await http.post("/v1/users/register", json=whom)).raise_for_status()
    signed = (await http.post("/v1/users/sign-in", json=whom)).raise_for_status().json()
    return Account(signed["userId"], signed["accessToken"], signed["refreshToken"])


@asynccontextmanager
async def rest(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client for REST."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=_CALL_SECONDS) as http:
        yield http


async def persistently(read: Callable[[], Awaitable[T]], seconds: float = 60.0) -> T:
    """Read again what is refused with 503: a back end that was away is slow at first. Raises httpx.HTTPError."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await read()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 503 or time.monotonic() > end:
                raise
        await asyncio.sleep(_READ_AGAIN_SECONDS)


async def list_events(
    http: httpx.AsyncClient, account: Account, conversation_id: str, after: int
) -> history.ListEventsResponse:
    """A page of events. Raises httpx.HTTPError."""
    url = f"/v1/conversations/{conversation_id}/events"
    answer = await http.get(url, params={"afterSeq": after, "limit": 500}, headers=account.header)
    return json_format.Parse(answer.raise_for_status().content, history.ListEventsResponse())


async def newest(http: httpx.AsyncClient, account: Account) -> dict[str, int]:
    """The conversations of a user with their newest events, the inbox included. Raises httpx.HTTPError."""
    inbox, token = f"inbox.{account.user_id}", ""
    heads = {inbox: (await list_events(http, account, inbox, 0)).last_seq}
    while True:
        answer = await http.get("/v1/conversations", params={"pageToken": token}, headers=account.header)
        page = answer.raise_for_status().json()
        heads |= {head["conversationId"]: int(head["lastSeq"]) for head in page.get("conversations", ())}
        token = page.get("nextPageToken", "")
        if not token:
            return heads


class Client:
    """What both kinds share: sending until acknowledged, pulling what is missing. `answers` counts how sends were answered."""

    def __init__(self, url: str, account: Account, ledger: Ledger) -> None:
        self.account = account
        self.ledger = ledger
        self.follower = Follower(self.ledger)
        self.answers: Counter[str | int] = Counter()
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=_CALL_SECONDS, headers=account.header)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Client":
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._pull())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    def check(self) -> None:
        """Raises what one of its tasks died of: they live until it leaves."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError(f"{task} has ended")

    def state(self) -> str:
        """Where it stands, for who waits for it in vain."""
        return f"{self.account.user_id} misses {self.follower.missing()}, greeted: {self.follower.complete}, {self.answers}"

    async def send(self, to: str, content: str, client_message_id: str) -> None:
        """Send until it is acknowledged, and write that down."""
        self.follower.means(client_message_id, content)
        while True:
            code, sent = await self._try(to, content, client_message_id)
            self.answers[code] += 1
            if sent is not None:
                self.follower.acknowledged(sent.conversation_id, sent.seq, client_message_id, sent.message_id)
                return
            if code and code not in EXCUSED:
                self.ledger.problem("answer", f"{client_message_id} was answered {code}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, to: str, content: str, client_message_id: str) -> tuple[str | int, Sent | None]:
        """One attempt: how it was answered ("" when it was not), and what was acknowledged."""
        raise NotImplementedError

    async def _listen(self) -> None:
        raise NotImplementedError

    async def _pull(self) -> None:
        while True:
            for name, known in self.follower.missing():
                # One that cannot be had now must not keep the others waiting.
                with contextlib.suppress(httpx.HTTPError):
                    page = await list_events(self._http, self.account, name, known)
                    self.follower.take_page(page.events)
            await asyncio.sleep(_PAUSE_SECONDS)


class RestClient(Client):
    """Sends with POST, listens with Poll. Its cursor is lost with the process that keeps it; then it begins from scratch."""

    async def _try(self, to: str, content: str, client_message_id: str) -> tuple[str | int, Sent | None]:
        body = {"to": to, "content": content, "type": "text", "clientMessageId": client_message_id}
        try:
            answer = await self._http.post("/v1/messages/send", json=body)
        except httpx.TransportError:
            return "", None
        if answer.status_code != 200:
            return answer.status_code, None
        sent = json_format.Parse(answer.content, messaging.SendMessageResponse())
        return 200, Sent(conversation_id=sent.conversation_id, seq=sent.seq, message_id=sent.message_id)

    async def _listen(self) -> None:
        cursor = ""
        self.follower.begin(from_scratch=True)
        while True:
            try:
                answer = await self._http.get("/v1/events", params={"cursor": cursor, "waitSeconds": 5})
            except httpx.TransportError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if answer.status_code != 200:
                if answer.status_code not in EXCUSED:
                    self.ledger.problem("answer", f"Poll was answered {answer.status_code} {answer.text}")
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            page = json_format.Parse(answer.content, messaging.PollResponse())
            if page.reset:
                self.follower.begin(from_scratch=True)
            for event in page.events:
                self.follower.take(event)
            if not cursor:
                self.follower.greeted(await newest(self._http, self.account))
            cursor = page.cursor


class StreamClient(Client):
    """Sends and listens on the stream of a native app."""

    def __init__(self, url: str, account: Account, ledger: Ledger) -> None:
        super().__init__(url, account, ledger)
        self.heard_at = time.monotonic()
        self._call: Any = None
        self._up = asyncio.Event()
        self._writing = asyncio.Lock()
        self._newest = 0
        self._waiting: dict[int, asyncio.Future[Result | None]] = {}
        self.streams = 0
        """How many were up."""

    def state(self) -> str:
        silent = time.monotonic() - self.heard_at
        return f"{super().state()}, {self.streams} streams, up: {self._up.is_set()}, nothing heard for {silent:.1f} s"

    async def ask(self, **body: Any) -> Result | None:
        """Write a frame with this body, once; its result, or None when the stream broke before that."""
        await self._up.wait()
        self._newest += 1
        number = self._newest
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._write(messaging.ConnectRequest(request_id=number, **body))
            return await waiting
        except (grpc.RpcError, asyncio.InvalidStateError):
            return None
        finally:
            self._waiting.pop(number, None)

    async def _try(self, to: str, content: str, client_message_id: str) -> tuple[str | int, Sent | None]:
        send = messaging.SendMessageRequest(to=to, content=content, type="text", client_message_id=client_message_id)
        result = await self.ask(send=send)
        if result is None:
            return "", None
        if result.HasField("error"):
            return code_pb2.Code.Name(result.error.code), None
        return "OK", result.sent

    async def _listen(self) -> None:
        options = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100)]
        options += [("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
        async with grpc.aio.insecure_channel(self._url.removeprefix("http://"), options=options) as channel:
            method = channel.stream_stream(
                _CONNECT,
                request_serializer=messaging.ConnectRequest.SerializeToString,
                response_deserializer=messaging.ConnectResponse.FromString,
            )
            while True:
                self._call = method(metadata=tuple(self.account.header.items()))
                try:
                    await self._one_stream()
                except grpc.aio.AioRpcError as error:
                    self.answers[f"stream {error.code().name}"] += 1
                except asyncio.InvalidStateError:
                    self.answers["stream over before Hello"] += 1
                finally:
                    self._up.clear()
                    self._call.cancel()
                    for waiting in self._waiting.values():
                        if not waiting.done():
                            waiting.set_result(None)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _take(self, event: Event) -> None:
        self.follower.take(event)

    async def _write(self, frame: messaging.ConnectRequest) -> None:
        # One at a time: two writes at once break a call of grpc.aio ("Internal error from Core"), and nobody tells the server.
        async with self._writing:
            await self._call.write(frame)

    async def _one_stream(self) -> None:
        known = [
            messaging.KnownConversation(conversation_id=name, last_seq=seq)
            for name, seq in self.follower.begin().items()
        ]
        await self._write(messaging.ConnectRequest(hello=messaging.Hello(known=known)))
        while (response := await self._call.read()) is not grpc.aio.EOF:
            self.heard_at = time.monotonic()
            for event in response.events:
                if event.HasField("result"):
                    waiting = self._waiting.get(event.result.request_id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(event.result)
                elif event.HasField("reconnect"):
                    return
                else:
                    self._take(event)
            if self.follower.complete and not self._up.is_set():
                self.streams += 1
                self._up.set()
