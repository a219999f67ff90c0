"""Every surface by name."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import httpx

from tests.mesh.surfaces.model import Network, Surface
from tests.mesh.surfaces.native import Connect, GrpcPoll
from tests.mesh.surfaces.rest import RestPoll, ServerSentEvents
from tests.mesh.surfaces.web import GrpcWeb

SURFACES: dict[str, Callable[[Network], Surface]] = {
    "connect": Connect,
    "grpc-web": lambda network: GrpcWeb(network, text=False),
    "grpc-web-text": lambda network: GrpcWeb(network, text=True),
    "rest+sse": ServerSentEvents,
    "rest+poll": RestPoll,
    "grpc+poll": GrpcPoll,
}

_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@asynccontextmanager
async def network(url: str) -> AsyncIterator[Network]:
    """Connections to a product, opened when they are used and closed in the end."""
    async with (
        AsyncExitStack() as stack,
        grpc.aio.insecure_channel(url.removeprefix("http://"), options=_OPTIONS) as channel,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http1,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, http1=False, http2=True) as http2,
    ):
        yield Network(url, stack, channel, http1, http2)
