"""REST: calls as JSON, Poll, and the event stream (server-sent events)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from tests.mesh.contract import METHODS
from tests.mesh.refusal import from_json, from_status
from tests.mesh.surfaces.model import Batch, Network, Place, headers

STREAM = "/v1/events/stream"
_POLL_SECONDS = 30


def answer_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises Refused when it is none of success."""
    body = response.json()
    if response.status_code != 200:
        raise from_json(response.status_code, body)
    return body


class Rest:
    """Unary calls."""

    def __init__(self, network: Network) -> None:
        self._http = network.http1

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        rest = method.rest(request)
        response = await self._http.request(
            rest.verb, rest.path, params=rest.query, json=rest.body, headers=headers(token)
        )
        return ParseDict(answer_of(response), method.response_type())


class RestPoll(Rest):
    """Poll, over REST."""

    resumes_by_cursor = True

    async def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        cursor, wait = place.cursor, 0  # the first answer, at once, shows that the session is there
        while True:
            answer: Any = await self.call(messaging.PollRequest(cursor=cursor, wait_seconds=wait), token)
            cursor, wait = answer.cursor, _POLL_SECONDS
            yield Batch(answer.events, cursor, answer.reset)


class ServerSentEvents(Rest):
    """https://html.spec.whatwg.org/multipage/server-sent-events.html, resumed by `Last-Event-ID`."""

    resumes_by_cursor = True

    async def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        resume = {"last-event-id": place.cursor} if place.cursor else {}
        async with self._http.stream("GET", STREAM, headers=headers(token) | resume, timeout=None) as response:
            if response.status_code != 200:
                await response.aread()
                answer_of(response)
            assert response.headers["content-type"] == "text/event-stream"
            last_id, ended = "", False
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    last_id = value
                elif name == "data" and ended:
                    raise from_status(ParseDict(json.loads(value), Status()))
                elif name == "data":
                    event = ParseDict(json.loads(value), messaging.StreamEventsResponse())
                    assert event.cursor == last_id  # browsers resume by the id
                    yield Batch(event.events, event.cursor, event.reset)
                elif name == "event":
                    assert value == "end"
                    ended = True
                else:
                    assert not line, f"no field that we send: {line}"
