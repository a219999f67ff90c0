"""Discovery requests and responses (xDS, delta) ↔ the model. Unknown fields and types pass; they are not ours to judge."""

from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from envoy_data_plane.envoy.service.discovery.v3 import Resource as PackedResource
from envoy_data_plane.google.protobuf import Any

from svc.controlplane.subscription import Request, Update


def parse_request(message: DeltaDiscoveryRequest) -> Request:
    """What Envoy says."""
    error = message.error_detail
    return Request(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
        nonce=message.response_nonce,
        refusal=(error.message or f"code {error.code}") if error else "",
    )


def render_update(update: Update) -> DeltaDiscoveryResponse:
    """What Envoy is told."""
    return DeltaDiscoveryResponse(
        type_url=update.type_url,
        nonce=update.nonce,
        resources=[
            PackedResource(name=each.name, version=each.version, resource=Any(type_url=each.type_url, value=each.body))
            for each in update.resources
        ],
        removed_resources=list(update.removed),
    )
