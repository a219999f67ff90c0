"""Users on the wire: requests → model, model → responses and records. Pure.

The contract's own rules are checked before a request gets here; what is left are page tokens.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.messaging.v1.conversation_event_pb2 import DeviceSignedOut
from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.errors import InvalidField
from svc.kernel.ids import inbox_of
from svc.kernel.record import Kind, Record, from_system
from svc.users.model import Device, DevicePlace, TokenPair, User

_DEFAULT_PAGE_SIZE = 50
_TOKEN = "devices"  # noqa: S105 - says what the token is for


def page_size(request: pb.ListDevicesRequest) -> int:
    """How many devices a page has at most."""
    return request.page_size or _DEFAULT_PAGE_SIZE


def page_token(behind: DevicePlace | None) -> str:
    """The token of the page behind a device; empty for none: the page was the last."""
    if behind is None:
        return ""
    text = f"{_TOKEN}.{behind.created_us}.{behind.device_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def before(request: pb.ListDevicesRequest) -> DevicePlace | None:
    """Behind which device the page starts; None for the first page.

    A token is taken only in the one spelling that `page_token` gave it. Raises InvalidField.
    """
    token = request.page_token
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        _, created_us, device_id = text.split(".")
        place = DevicePlace(int(created_us), device_id)
    except (binascii.Error, ValueError):
        place = None
    if place is None or page_token(place) != token or not 0 <= place.created_us < 1 << 63:
        raise InvalidField("page_token", "must be the next_page_token of a page of devices")
    return place


def user(one: User) -> pb.User:
    """A user's public profile."""
    return pb.User(
        user_id=one.user_id,
        username=one.username,
        display_name=one.display_name,
        create_time=_time(one.created_us),
    )


def device(one: Device, asking: str) -> pb.Device:
    """A device, as seen from the device `asking`."""
    return pb.Device(
        device_id=one.device_id,
        device_name=one.name,
        create_time=_time(one.created_us),
        refresh_time=_time(one.refreshed_us),
        current=one.device_id == asking,
    )


def devices(page: Sequence[Device], more: bool, asking: str) -> pb.ListDevicesResponse:
    """A page of devices."""
    return pb.ListDevicesResponse(
        devices=[device(one, asking) for one in page],
        next_page_token=page_token(page[-1].place if more else None),
    )


def signed_in(pair: TokenPair) -> pb.SignInResponse:
    """What a new device gets."""
    return pb.SignInResponse(
        user_id=pair.user_id,
        device_id=pair.device_id,
        access_token=pair.access_token,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
    )


def refreshed(pair: TokenPair) -> pb.RefreshTokenResponse:
    """What a device gets for its refresh token."""
    return pb.RefreshTokenResponse(
        user_id=pair.user_id,
        device_id=pair.device_id,
        access_token=pair.access_token,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
    )


def signed_out(user_id: str, device_id: str, record_id: int) -> Record:
    """What tells a user's inbox that a device was signed out.

    Nodes read the device in `left`, without parsing the body. A device is signed out once: its id is the key.
    """
    body = DeviceSignedOut(device_id=device_id).SerializeToString()
    key = f"~signed-out.{device_id}"
    record = from_system(Kind.DEVICE_SIGNED_OUT, inbox_of(user_id), key, record_id, body)
    return replace(record, left=(device_id,))


def _time(us: int) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(us)
    return time
