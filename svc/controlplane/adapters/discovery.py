"""The discovery server: grpclib on a unix socket, closed so that Envoy notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakSet

from grpclib._typing import IServable
from grpclib.protocol import H2Protocol
from grpclib.server import Server


@asynccontextmanager
async def discovery_server(servicer: IServable, socket: Path) -> AsyncIterator[None]:
    """Serve for as long as the block lasts. A socket file that a killed process left is replaced."""
    server = _Server([servicer])
    await server.start(path=str(socket))
    try:
        yield
    finally:
        server.close()
        server.hang_up()
        await server.wait_closed()


class _Server(Server):
    """`Server.close()` of grpclib 0.4.9 leaves connections open: Envoy would wait on a dead stream and never connect anew."""

    def __init__(self, handlers: list[IServable]) -> None:
        super().__init__(handlers)
        self._protocols: WeakSet[H2Protocol] = WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    def hang_up(self) -> None:
        for protocol in list(self._protocols):
            if hasattr(protocol, "connection"):  # it has connected
                protocol.connection.close()
