"""Every surface by name."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx

from stonechat_conformance.contract import Method
from stonechat_conformance.surfaces.model import Network, Surface
from stonechat_conformance.surfaces.native import Connect, GrpcPoll
from stonechat_conformance.surfaces.rest import RestPoll, ServerSentEvents
from stonechat_conformance.surfaces.web import GrpcWeb

SURFACES: dict[str, Callable[[Network], Surface]] = {
    "connect": Connect,
    "grpc-web": lambda network: GrpcWeb(network, text=False),
    "grpc-web-text": lambda network: GrpcWeb(network, text=True),
    "rest+sse": ServerSentEvents,
    "rest+poll": RestPoll,
    "grpc+poll": GrpcPoll,
}
_LACKS: dict[str, Callable[[Method], str]] = {
    "connect": Connect.lacks,
    "grpc-web": GrpcWeb.lacks,
    "grpc-web-text": GrpcWeb.lacks,
    "rest+sse": ServerSentEvents.lacks,
    "rest+poll": RestPoll.lacks,
    "grpc+poll": GrpcPoll.lacks,
}


def lacking(method: Method) -> dict[str, str]:
    """The surfaces on which a method cannot be called, each with the reason."""
    found = {name: lacks(method) for name, lacks in _LACKS.items()}
    return {name: why for name, why in found.items() if why}


_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


def _channel(url: str, authority: Path | None) -> grpc.aio.Channel:
    scheme, _, address = url.partition("://")
    if scheme == "https":
        credentials = grpc.ssl_channel_credentials(authority.read_bytes() if authority else None)
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@asynccontextmanager
async def network(url: str, authority: Path | None = None) -> AsyncIterator[Network]:
    """Connections to a server (`http://host:port`, or https), opened when they are used and closed in the end.

    `authority` is who signed the server's certificate (PEM), where that is nobody whom everybody knows. What is called gives
    each call its deadline; the timeout here is the last resort.
    """

    def dial(**how: Any) -> httpx.AsyncClient:
        # No certificates are read for a URL that needs none: that costs 20 ms. Each client sets the protocols of its context.
        verify = ssl.create_default_context(cafile=authority) if authority else url.startswith("https://")
        return httpx.AsyncClient(base_url=url, trust_env=False, verify=verify, **how)

    async with (
        _channel(url, authority) as channel,
        dial(timeout=60) as http1,
        dial(timeout=60, http1=False, http2=True) as http2,
    ):
        yield Network(dial, channel, http1, http2)
