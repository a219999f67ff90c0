"""The aggregated discovery service: one delta stream for each Envoy."""

import asyncio
import logging
from collections.abc import AsyncIterator

from envoy_data_plane.envoy.service.discovery.v3 import (
    AggregatedDiscoveryServiceBase,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from svc.controlplane.snapshot import Configuration
from svc.controlplane.subscription import DeltaStream
from svc.controlplane.wire.discovery import parse_request, render_update

log = logging.getLogger(__name__)


class DiscoveryServicer(AggregatedDiscoveryServiceBase):
    """Tells each Envoy what it asked for, and what has changed since."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    async def delta_aggregated_resources(
        self, messages: AsyncIterator[DeltaDiscoveryRequest]
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
        """Answer requests and push changes until Envoy leaves. A request that cannot be read ends this stream alone, and
        Envoy opens a new one."""
        stream = DeltaStream()
        seen = self._configuration.current
        heard = asyncio.ensure_future(_next(messages))
        changed = asyncio.ensure_future(self._configuration.other_than(seen))
        try:
            while True:
                await asyncio.wait([heard, changed], return_when=asyncio.FIRST_COMPLETED)
                if changed.done():
                    seen = changed.result()
                    changed = asyncio.ensure_future(self._configuration.other_than(seen))
                if heard.done():
                    message = heard.result()
                    if message is None:
                        return
                    self._receive(stream, message)
                    heard = asyncio.ensure_future(_next(messages))
                for update in stream.due(seen):
                    yield render_update(update)
        finally:
            heard.cancel()
            changed.cancel()

    @staticmethod
    def _receive(stream: DeltaStream, message: DeltaDiscoveryRequest) -> None:
        request = parse_request(message)
        if request.refusal:
            log.error(
                "Envoy refused a configuration and keeps the one it has: %s",
                request.refusal,
                extra={"type_url": request.type_url, "node": message.node.id if message.node else ""},
            )
        stream.receive(request)


async def _next(messages: AsyncIterator[DeltaDiscoveryRequest]) -> DeltaDiscoveryRequest | None:
    return await anext(messages, None)
