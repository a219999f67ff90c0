"""The service as clients meet it: a real server on a loopback port, behind the real call chain."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stonechat.history.v1 import history_service_pb2 as api
from stonechat.history.v1.history_service_pb2_grpc import HistoryServiceStub
from svc.backends.opening import Messages
from svc.history.wiring import open_history
from svc.kernel.calls import Access, CallChain, handlers
from svc.kernel.channels import translate
from svc.kernel.clock import SystemClock
from svc.kernel.identity import ALGORITHM, AUDIENCE, ISSUER, TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import PUBLIC_METHODS
from tests.history.archive import ALICE, DIRECT

KEY = Ed25519PrivateKey.generate()


class Surface:
    """A client's end. Calls raise the error that the answer tells of, details included."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = HistoryServiceStub(channel)

    async def call(self, user_id: str, method: str, request: object) -> Any:
        """Call as a user; without a token when there is none."""
        try:
            metadata = (("authorization", f"Bearer {token(user_id)}"),) if user_id else ()
            return await getattr(self._stub, method)(request, timeout=10, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error

    async def messages(self, user_id: str = ALICE, conversation_id: str = DIRECT, **asked: Any) -> list[api.Message]:
        """A page of messages."""
        request = api.ListMessagesRequest(conversation_id=conversation_id, **asked)
        return list((await self.call(user_id, "ListMessages", request)).messages)

    async def events(self, user_id: str = ALICE, conversation_id: str = DIRECT, **asked: Any) -> api.ListEventsResponse:
        """A run of events."""
        request = api.ListEventsRequest(conversation_id=conversation_id, **asked)
        return await self.call(user_id, "ListEvents", request)

    async def conversations(self, user_id: str = ALICE, **asked: Any) -> api.ListConversationsResponse:
        """A page of conversations."""
        return await self.call(user_id, "ListConversations", api.ListConversationsRequest(**asked))


@asynccontextmanager
async def open_surface(messages: Messages) -> AsyncIterator[Surface]:
    """Serve history from a store, as a process would."""
    clock = SystemClock()
    access = Access(PUBLIC_METHODS, frozenset(), "inner")
    chain = CallChain(TokenVerifier(_jwks, clock), access, RateLimiter(clock), Rate(10_000, 10_000), clock)
    async with open_history(messages) as history:
        server = grpc.aio.server(handlers=[handlers(chain, *service) for service in history.services])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Surface(channel)
        finally:
            await server.stop(grace=None)


def token(user_id: str) -> str:
    """An access token as the users service signs them."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id, "device": "device", "iat": now, "exp": now + 600}
    return jwt.encode(claims, KEY, algorithm=ALGORITHM, headers={"kid": "test"})


async def _jwks() -> str:
    key = jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [key | {"kid": "test", "alg": ALGORITHM}]})
