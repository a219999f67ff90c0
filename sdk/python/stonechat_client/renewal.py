"""Replaces the token of the stream before it ends, on the stream itself."""

import asyncio

from stonechat.messaging.v1 import messaging_service_pb2 as api
from stonechat_client.backoff import Backoff
from stonechat_client.errors import ClientError, SignedOut
from stonechat_client.requests import Requests
from stonechat_client.tokens import Tokens

# Between two looks at the token, whatever the server says how long it lasts.
_LEAST_SECONDS = 0.5


class Renewal:
    """`stream_token` is the token that the present stream has; whoever opens a stream sets it."""

    def __init__(self, tokens: Tokens, requests: Requests) -> None:
        self._tokens = tokens
        self._requests = requests
        self.stream_token = ""

    async def run(self) -> None:
        """Renew for as long as the session lives. Raises SignedOut."""
        while True:
            await asyncio.sleep(max(_LEAST_SECONDS, self._tokens.seconds_left()))
            await self._renew()

    async def _renew(self) -> None:
        # Until it is done: a token that was renewed for calls alone lasts, and the stream would end with the old one.
        backoff = Backoff()
        while True:
            try:
                token = await self._tokens.access()
                if token != self.stream_token:
                    await self._requests.ask_once(api.ConnectRequest(renew_token=api.RenewToken(access_token=token)))
                    self.stream_token = token
                return
            except SignedOut:
                raise
            except ClientError:
                await asyncio.sleep(backoff.next_delay())
