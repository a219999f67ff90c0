"""Bad input: each field says its own name, and nothing that a client sends is an internal error."""

import pytest
from google.protobuf.message import Message

from stonechat.users.v1 import directory_service_pb2 as directory
from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.errors import InvalidField, MalformedRequest
from tests.users.surface import Surface

GOOD = {"username": "alice", "password": "long enough"}

PUBLIC: list[tuple[str, str, Message]] = [
    *(
        ("Register", "username", pb.RegisterRequest(username=bad, password="long enough"))
        for bad in ("", "al", "Alice", "1alice", "alice bob", "älice", "a" * 33, "alice\n", "alice\0")
    ),
    *(
        ("Register", "password", pb.RegisterRequest(username="alice", password=bad))
        for bad in ("", "1234567", "x" * 257, "é" * 129)
    ),
    ("Register", "display_name", pb.RegisterRequest(**GOOD, display_name="x" * 101)),
    *(
        ("Register", "client_request_id", pb.RegisterRequest(**GOOD, client_request_id=bad))
        for bad in ("x" * 65, "a b", "é", "~1", "a\n")
    ),
    ("SignIn", "username", pb.SignInRequest(password="x")),
    ("SignIn", "username", pb.SignInRequest(username="x" * 65, password="x")),
    ("SignIn", "password", pb.SignInRequest(username="alice")),
    ("SignIn", "password", pb.SignInRequest(username="alice", password="x" * 257)),
    ("SignIn", "device_name", pb.SignInRequest(**GOOD, device_name="x" * 101)),
    ("RefreshToken", "refresh_token", pb.RefreshTokenRequest()),
    ("RefreshToken", "refresh_token", pb.RefreshTokenRequest(refresh_token="x" * 513)),
]

PRIVATE: list[tuple[str, str, Message]] = [
    ("ListDevices", "page_size", pb.ListDevicesRequest(page_size=101)),
    ("ListDevices", "page_token", pb.ListDevicesRequest(page_token="x" * 129)),
    ("ListDevices", "page_token", pb.ListDevicesRequest(page_token="nonsense")),
    ("RevokeDevice", "device_id", pb.RevokeDeviceRequest()),
    ("RevokeDevice", "device_id", pb.RevokeDeviceRequest(device_id="x" * 65)),
    *(
        ("GetUser", "user_id", pb.GetUserRequest(user_id=bad))
        for bad in ("", "u", "u0", "u01", "g1", "U1", "u1 ", "u-1", "u10000000000000000000")
    ),
    ("FindUser", "username", pb.FindUserRequest()),
    ("FindUser", "username", pb.FindUserRequest(username="x" * 65)),
    ("UpdateProfile", "display_name", pb.UpdateProfileRequest()),
    ("UpdateProfile", "display_name", pb.UpdateProfileRequest(display_name="x" * 101)),
]


async def test_every_bad_field_is_named(surface: Surface) -> None:
    """With what it must be."""
    token = (await surface.somebody()).access_token
    for method, field, request in [*PUBLIC, *PRIVATE]:
        with pytest.raises(InvalidField) as refused:
            await surface.call(method, request, token)
        assert refused.value.field == field, (method, request)
        assert refused.value.must


async def test_every_bad_field_of_the_inner_service_is_named(surface: Surface) -> None:
    """Services are held to the contract as well."""
    for method, field, request in [
        ("CheckUsers", "user_ids", directory.CheckUsersRequest(user_ids=["u1"] * 1001)),
        ("CheckDevice", "user_id", directory.CheckDeviceRequest(device_id="v1")),
        ("CheckDevice", "device_id", directory.CheckDeviceRequest(user_id="u1")),
    ]:
        with pytest.raises(InvalidField) as refused:
            await surface.inner(method, request)
        assert refused.value.field == field


@pytest.mark.parametrize("raw", [b"\x0a\x02\xff\xfe", b"\x0a\x05ab", b"\xff\xff\xff"])
async def test_bytes_that_are_no_request_are_malformed(surface: Surface, raw: bytes) -> None:
    """Text that is not UTF-8, a request that was cut off, noise."""
    for method in ("Register", "SignIn", "RefreshToken"):
        with pytest.raises(MalformedRequest):
            await surface.raw(method, raw)


async def test_what_the_contract_allows_is_served(surface: Surface) -> None:
    """The longest and the strangest values that are valid."""
    await surface.register(
        "a._-" + "9" * 28, "é" * 128, display_name="🐦" * 100, client_request_id="A.b_c:d-" + "e" * 56
    )
    signed_in = await surface.sign_in("a._-" + "9" * 28, "é" * 128, device_name="\0' OR 1=1 --🐦")
    devices = await surface.call("ListDevices", pb.ListDevicesRequest(page_size=100), signed_in.access_token)
    assert [device.device_name for device in devices.devices] == ["\0' OR 1=1 --🐦"]
    found = await surface.call("GetUser", pb.GetUserRequest(user_id=signed_in.user_id), signed_in.access_token)
    assert found.user.display_name == "🐦" * 100
