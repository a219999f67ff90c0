"""Clients that stop reading hurt only themselves."""

import asyncio
import socket

from tests.controlplane.instance import bearer, instance
from tests.controlplane.stand import frame, said, stand, until

STALLED = 130  # more than go over one connection between Envoy and an instance
MOST_BYTES_EACH = 1 << 20


async def test_a_healthy_stream_beside_many_that_stall(tmp_path):
    """They all share connections to the instance; each may pin only its own window of them (see wire.clusters)."""
    async with instance("a") as a, stand(tmp_path, a) as here:
        healthy = here.connect()
        assert said(await healthy.read()) == ["a"]
        host, port = here.edge.url.removeprefix("http://").split(":")
        request = f"GET /v1/events/stream?cursor=flood HTTP/1.1\r\nhost: x\r\n{_header()}\r\n\r\n".encode()
        stalled = [_connection(host, int(port)) for _ in range(STALLED)]
        try:
            for each in stalled:
                each.sendall(request)
            await until(lambda: _stands_still(a))
            assert 0 < a.flooded < STALLED * MOST_BYTES_EACH
            for number in range(20):
                await healthy.write(frame(f"{number}"))
                async with asyncio.timeout(5):
                    assert said(await healthy.read()) == [f"{number}"]
        finally:
            for each in stalled:
                each.close()


async def _stands_still(running) -> bool:
    before = running.flooded
    await asyncio.sleep(0.5)
    return before == running.flooded > 0


def _header() -> str:
    ((key, value),) = bearer().items()
    return f"{key}: {value}"


def _connection(host: str, port: int) -> socket.socket:
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)  # what is here is not Envoy's
    opened.connect((host, port))
    return opened
