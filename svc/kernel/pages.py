"""The pages for operators and their tools: `/metrics` for Prometheus, `/ready`: whether all back ends answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from svc.kernel.errors import StartError
from svc.kernel.readiness import Readiness

StartResponse = Callable[..., Any]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


class _Server(ThreadingWSGIServer):
    """On IPv4."""


class _Server6(_Server):
    """On IPv6."""

    address_family = socket.AF_INET6


@contextmanager
def operators_pages(address: tuple[str, int] | None, readiness: Readiness) -> Iterator[None]:
    """Serve them for as long as the block lasts; no address, no pages. Raises StartError."""
    if address is None:
        yield
        return
    host, port = address
    metrics = make_wsgi_app()

    def page(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/ready":
            return metrics(environ, start)  # type: ignore[no-any-return]
        troubles = readiness.troubles
        ready = not any(troubles.values())
        start("200 OK" if ready else "503 Service Unavailable", [("Content-Type", "application/json")])
        told = {name: trouble or "answers" for name, trouble in troubles.items()}
        return [json.dumps({"ready": ready, "back_ends": told}).encode() + b"\n"]

    try:
        server = make_server(host, port, page, _Server6 if ":" in host else _Server, handler_class=_Silent)
    except OSError as error:
        raise StartError(
            f"the metrics page cannot listen on {host}:{port} ({error.strerror}):"
            " stop what listens there, or set STONECHAT_METRICS_LISTEN (empty for none)"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="operators' pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
