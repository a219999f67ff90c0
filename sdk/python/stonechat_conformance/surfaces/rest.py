"""REST: calls as JSON, Poll, and the event stream (server-sent events)."""

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.refusal import Broken, from_json, from_status
from stonechat_conformance.surfaces.model import STREAM_SECONDS, Batch, Network, Place, headers

STREAM = "/v1/events/stream"
_POLL_SECONDS = 30


def answer_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises Refused when it is none of success."""
    try:
        body = response.json()
    except ValueError:
        kind = response.headers.get("content-type")
        came = f"HTTP {response.status_code}, {kind}: {response.text[:200]!r}"
        raise Broken("an answer over REST is JSON", came=came) from None
    if response.status_code != 200:
        raise from_json(response.status_code, body)
    return body


class Rest:
    """Unary calls."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._http = network.http1

    @staticmethod
    def lacks(method: Method) -> str:
        return "" if method.verb else "it has no REST form"

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        if isinstance(request, messaging.StreamEventsRequest):
            async with contextlib.aclosing(self.events(token, request.cursor)) as events:
                async for data in events:
                    return HttpBody(data=json.dumps(data).encode())
            raise Broken("a stream answers before it ends")
        rest = method.rest(request)
        response = await self._http.request(
            rest.verb, rest.path, params=rest.query, json=rest.body, headers=headers(token)
        )
        answer = answer_of(response)
        if method.response_type is HttpBody:
            return HttpBody(content_type=response.headers["content-type"], data=response.content)
        return ParseDict(answer, method.response_type())

    async def nonsense(self, method: Method, token: str) -> None:
        head = headers(token) | {"content-type": "application/json"}
        answer_of(await self._http.request(method.verb, method.template, content=b"{", headers=head))

    async def events(self, token: str, cursor: str = "", last_id: str = "") -> AsyncGenerator[Any, None]:
        """The data of server-sent events, JSON, from a cursor (in the query or as `Last-Event-ID`) until the stream ends.

        https://html.spec.whatwg.org/multipage/server-sent-events.html
        """
        resume = {"last-event-id": last_id} if last_id else {}
        query = {"cursor": cursor} if cursor else {}
        head = headers(token) | resume
        stream = self._http.stream("GET", STREAM, params=query, headers=head, timeout=STREAM_SECONDS)
        async with stream as response:
            if response.status_code != 200:
                await response.aread()
                answer_of(response)
            kind = response.headers.get("content-type")
            if kind != "text/event-stream":
                raise Broken("the content-type of an event stream", expected="text/event-stream", came=kind)
            found, ended = "", False
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    found = value
                elif name == "data" and ended:
                    raise from_status(ParseDict(json.loads(value), Status()))
                elif name == "data":
                    data = json.loads(value)
                    if data.get("cursor") != found:
                        raise Broken("browsers resume by the id: it is the cursor", expected=found, came=data)
                    yield data
                elif name == "event" and value == "end":
                    ended = True
                elif line:
                    raise Broken("an event stream has only the fields that the contract names", came=line)


class RestPoll(Rest):
    """Poll, over REST."""

    resumes_by_cursor = True

    async def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
        cursor, wait = place.cursor, 0  # the first answer, at once, shows that the session is there
        while True:
            answer: Any = await self.call(messaging.PollRequest(cursor=cursor, wait_seconds=wait), token)
            cursor, wait = answer.cursor, _POLL_SECONDS
            yield Batch(answer.events, cursor, answer.reset)


class ServerSentEvents(Rest):
    """The event stream, resumed by `Last-Event-ID`."""

    resumes_by_cursor = True

    async def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
        async with contextlib.aclosing(self.events(token, last_id=place.cursor)) as events:
            async for data in events:
                event = ParseDict(data, messaging.StreamEventsResponse())
                yield Batch(event.events, event.cursor, event.reset)
