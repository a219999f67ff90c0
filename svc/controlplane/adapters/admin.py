"""Envoy's admin interface, over the unix socket that it listens on. There is no TCP port for it."""

import asyncio
import http.client
import json
import socket
from pathlib import Path

_SECONDS = 2.0


class Admin:
    """Asks one Envoy. Errors and silence of an Envoy that is not there are OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def listeners(self) -> dict[str, str]:
        """The listeners that are open: name → `host:port` or path. Empty while Envoy initializes."""
        if await self._ask("GET", "/ready") != "LIVE":
            return {}
        found = {}
        for each in json.loads(await self._ask("GET", "/listeners?format=json")).get("listener_statuses", []):
            at = each["local_address"]
            host = at.get("socket_address", {})
            found[each["name"]] = (
                f"{host['address']}:{host['port_value']}" if host else at.get("pipe", {}).get("path", "")
            )
        return found

    async def stat(self, name: str) -> int:
        """A counter or gauge; 0 when there is none of this name."""
        text = await self._ask("GET", f"/stats?filter=^{name}$")
        return int(text.rpartition(":")[2]) if text else 0

    async def drain(self) -> None:
        """Fail health checks, tell clients to leave (GOAWAY), close the listeners when the drain time ends."""
        await self._ask("POST", "/healthcheck/fail")
        await self._ask("POST", "/drain_listeners?graceful")

    async def _ask(self, method: str, path: str) -> str:
        return await asyncio.to_thread(self._ask_waiting, method, path)

    def _ask_waiting(self, method: str, path: str) -> str:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode().strip()
        except http.client.HTTPException as error:
            raise OSError(f"Envoy's admin answered no HTTP: {error}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))
