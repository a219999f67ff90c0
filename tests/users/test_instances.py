"""Two instances on the same tables: whoever asks either of them, at the same moment, finds one truth."""

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import pytest

from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.errors import DeviceRevoked, UsernameTaken
from tests.fakes import FakeClock, MemoryLog
from tests.users.surface import Surface, open_surface

Two = tuple[Surface, Surface]


@pytest.fixture
async def two(tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str) -> AsyncIterator[Two]:
    async with (
        open_surface(tmp_path, clock, log, mysql=mysql) as one,
        open_surface(tmp_path, clock, log, mysql=mysql) as other,
    ):
        yield one, other


async def test_a_name_that_many_want_is_given_once(two: Two) -> None:
    passwords = [f"password {number}" for number in range(12)]
    outcomes = await asyncio.gather(
        *(surface.register("alice", password) for surface, password in zip(cycle(two), passwords, strict=False)),
        return_exceptions=True,
    )
    (made,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert all(isinstance(outcome, UsernameTaken) for outcome in outcomes if outcome != made)
    for surface in two:
        assert (await surface.sign_in("alice", passwords[outcomes.index(made)])).user_id == made


async def test_a_registration_that_is_repeated_elsewhere_makes_one_user(two: Two) -> None:
    made = await asyncio.gather(*(surface.register("alice", client_request_id="one") for surface in two * 5))
    assert len(set(made)) == 1


async def test_a_refresh_token_has_one_successor(two: Two) -> None:
    """Generation after generation, however many ask for it and wherever."""
    token = (await two[0].somebody()).refresh_token
    for _ in range(5):
        pairs = await asyncio.gather(*(surface.refresh(token) for surface in two * 4))
        (token,) = {pair.refresh_token for pair in pairs}


async def test_sign_ins_at_the_same_time_are_devices_of_their_own(two: Two) -> None:
    """Also when each of them first forgets those that are too old."""
    await two[0].register("alice")
    await asyncio.gather(*(surface.sign_in("alice") for surface in two * 3))
    two[0].clock.advance(61 * 86_400)
    signed_in = await asyncio.gather(*(surface.sign_in("alice") for surface in two * 5))
    listed = await two[1].call("ListDevices", pb.ListDevicesRequest(), signed_in[0].access_token)
    assert {device.device_id for device in listed.devices} == {each.device_id for each in signed_in}
    assert len(signed_in) == 10


async def test_a_device_that_is_signed_out_here_gets_nothing_there(two: Two) -> None:
    """Whichever comes first; the inbox is told once, however often it was asked for."""
    for _ in range(5):
        signed_in = await two[0].somebody()
        before = len(two[0].log.entries)
        request = pb.RevokeDeviceRequest(device_id=signed_in.device_id)
        await asyncio.gather(
            two[0].call("RevokeDevice", request, signed_in.access_token),
            two[1].refresh(signed_in.refresh_token),
            two[1].call("RevokeDevice", request, signed_in.access_token),
            return_exceptions=True,
        )
        for surface in two:
            assert not await surface.active(signed_in)
            with pytest.raises(DeviceRevoked):
                await surface.refresh(signed_in.refresh_token)
        sent = await two[0].log.holds(before + 1)
        assert len({entry.value for entry in sent[before:]}) == 1
