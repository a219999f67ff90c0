"""Devices: each sign-in makes one, the user sees them all, and one that is signed out is told at once."""

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import DeviceSignedOut
from stonechat.users.v1 import directory_service_pb2 as directory
from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.errors import DeviceRevoked, InvalidField, NotFound, TokenExpired
from svc.kernel.ids import SYSTEM, inbox_of
from svc.kernel.record import Kind, decode
from svc.kernel.shards import ShardMap
from tests.users.surface import Surface

DAY = 86_400


async def listed(surface: Surface, token: str, size: int = 0) -> list[pb.Device]:
    """All pages."""
    devices: list[pb.Device] = []
    page_token = ""
    while True:
        request = pb.ListDevicesRequest(page_size=size, page_token=page_token)
        page = await surface.call("ListDevices", request, token)
        assert len(page.devices) <= (size or 50)
        devices += page.devices
        page_token = page.next_page_token
        if not page_token:
            return devices


async def test_each_sign_in_makes_a_device(surface: Surface) -> None:
    """Newest first, with the name that the client gave, and the one that asks marked."""
    await surface.register("alice")
    for number in range(3):
        last = await surface.sign_in("alice", device_name=f"phone {number} ☎")
        surface.clock.advance(1)
    devices = await listed(surface, last.access_token)
    assert [device.device_name for device in devices] == ["phone 2 ☎", "phone 1 ☎", "phone 0 ☎"]
    assert [device.current for device in devices] == [True, False, False]
    assert devices[0].device_id == last.device_id
    assert len({device.device_id for device in devices}) == 3


@pytest.mark.parametrize("apart", [0, 1])
async def test_pages_hold_each_device_once(surface: Surface, apart: int) -> None:
    """Also those that were made at the very same time."""
    await surface.register("alice")
    expected = []
    for _ in range(7):
        last = await surface.sign_in("alice")
        expected.append(last.device_id)
        surface.clock.advance(apart)
    for size in (1, 2, 3, 7, 0):
        assert [device.device_id for device in await listed(surface, last.access_token, size)] == expected[::-1]


async def test_a_refresh_shows_in_the_list(surface: Surface) -> None:
    """So that people know which device is in use."""
    signed_in = await surface.somebody()
    made = surface.clock.us
    surface.clock.advance(100)
    pair = await surface.refresh(signed_in.refresh_token)
    (device,) = await listed(surface, pair.access_token)
    assert device.create_time.ToMicroseconds() == made
    assert device.refresh_time.ToMicroseconds() == surface.clock.us


async def test_a_device_that_is_signed_out_gets_nothing_more(surface: Surface) -> None:
    """No token, no place in the list, and other services know; the other devices stay."""
    await surface.register("alice")
    phone, laptop = await surface.sign_in("alice"), await surface.sign_in("alice")
    request = pb.RevokeDeviceRequest(device_id=phone.device_id)
    await surface.call("RevokeDevice", request, laptop.access_token)
    with pytest.raises(DeviceRevoked):
        await surface.refresh(phone.refresh_token)
    assert [device.device_id for device in await listed(surface, laptop.access_token)] == [laptop.device_id]
    assert not await surface.active(phone)
    assert await surface.active(laptop)


async def test_many_devices_are_checked_in_one_call(surface: Surface) -> None:
    """Each with the user it is said to belong to, in the order of the request, also when it is named twice."""
    alice, bob = await surface.somebody(), await surface.somebody()
    gone = await surface.somebody()
    request = pb.RevokeDeviceRequest(device_id=gone.device_id)
    await surface.call("RevokeDevice", request, gone.access_token)
    asked = [
        (alice.user_id, alice.device_id, True),
        (bob.user_id, alice.device_id, False),
        (gone.user_id, gone.device_id, False),
        (bob.user_id, bob.device_id, True),
        ("u1", "v1", False),
        (alice.user_id, alice.device_id, True),
    ]
    devices = [directory.CheckDeviceRequest(user_id=user_id, device_id=device_id) for user_id, device_id, _ in asked]
    answer = await surface.inner("CheckDevices", directory.CheckDevicesRequest(devices=devices))
    assert list(answer.active) == [expected for _, _, expected in asked]
    assert list((await surface.inner("CheckDevices", directory.CheckDevicesRequest())).active) == []
    with pytest.raises(InvalidField, match="devices"):
        await surface.inner("CheckDevices", directory.CheckDevicesRequest(devices=devices[:1] * 1001))


async def test_the_inbox_is_told_once(surface: Surface) -> None:
    """The record names the device where nodes look for it, and a repeat of the call sends none."""
    signed_in = await surface.somebody()
    for _ in range(3):
        request = pb.RevokeDeviceRequest(device_id=signed_in.device_id)
        await surface.call("RevokeDevice", request, signed_in.access_token)
    other = await surface.somebody()
    await surface.call("RevokeDevice", pb.RevokeDeviceRequest(device_id=other.device_id), other.access_token)
    first, second = await surface.log.holds(2)
    record = decode(first.value)
    inbox = inbox_of(signed_in.user_id)
    assert (record.kind, record.conversation_id, record.sender_id) == (Kind.DEVICE_SIGNED_OUT, inbox, SYSTEM)
    assert DeviceSignedOut.FromString(record.body).device_id == signed_in.device_id
    assert record.left == (signed_in.device_id,)
    assert (first.key, first.partition) == (inbox, ShardMap.initial(5).partition_of(inbox))
    assert decode(second.value).left == (other.device_id,)


async def test_only_ones_own_devices_can_be_signed_out(surface: Surface) -> None:
    """Somebody else's and one that does not exist answer alike."""
    mallory, alice = await surface.somebody(), await surface.somebody()
    for device_id in (alice.device_id, "v1", "phone"):
        request = pb.RevokeDeviceRequest(device_id=device_id)
        with pytest.raises(NotFound):
            await surface.call("RevokeDevice", request, mallory.access_token)
    assert await surface.active(alice)


async def test_a_device_is_checked_with_its_user(surface: Surface) -> None:
    """Unknown, somebody else's and signed out answer alike."""
    alice, bob = await surface.somebody(), await surface.somebody()
    for user_id, device_id in ((bob.user_id, alice.device_id), (alice.user_id, "v1")):
        request = directory.CheckDeviceRequest(user_id=user_id, device_id=device_id)
        assert not (await surface.inner("CheckDevice", request)).active
    assert await surface.active(alice)


async def test_a_device_that_nobody_uses_leaves_the_list(surface: Surface) -> None:
    """After 30 days it is signed in no more."""
    await surface.register("alice")
    await surface.sign_in("alice", device_name="old")
    surface.clock.advance(30 * DAY + 1)
    new = await surface.sign_in("alice", device_name="new")
    assert [device.device_name for device in await listed(surface, new.access_token)] == ["new"]


async def test_an_access_token_ends_on_time(surface: Surface) -> None:
    """After the seconds that were promised."""
    signed_in = await surface.somebody()
    assert signed_in.expires_in == 900
    surface.clock.advance(899)
    assert await listed(surface, signed_in.access_token)
    surface.clock.advance(1)
    with pytest.raises(TokenExpired):
        await listed(surface, signed_in.access_token)


@pytest.mark.parametrize(
    "token", ["x", "ZGV2aWNlcw", "é", "====", "A" * 128, "ZGV2aWNlcy4xLnYx=", "ZGV2aWNlcy4tMS52MQ"]
)
async def test_a_page_token_that_is_none_is_named(surface: Surface, token: str) -> None:
    """Tokens are opaque: what we did not write, in the spelling we wrote it, is refused."""
    signed_in = await surface.somebody()
    with pytest.raises(InvalidField) as refused:
        await surface.call("ListDevices", pb.ListDevicesRequest(page_token=token), signed_in.access_token)
    assert refused.value.field == "page_token"
