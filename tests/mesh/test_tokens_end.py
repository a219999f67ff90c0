"""Streams end when their token does, unless it is renewed: on a server whose tokens are short."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance import people as crowd
from stonechat_conformance.device import Device
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.native import Connect
from stonechat_conformance.surfaces.table import SURFACES
from tests.mesh.product import Product, product

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN_SECONDS = 5  # the least there is


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("hurried"), ACCESS_TOKEN_SECONDS=str(TOKEN_SECONDS)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def others(hurried: Product) -> AsyncIterator[People]:
    async with crowd.server(hurried.url, Patience()) as tested, crowd.people(tested) as people:
        yield people


async def test_a_stream_ends_with_its_token_unless_it_is_renewed(others: People, tally: dict[str, str]):
    name = await others.register()
    devices = dict(zip(SURFACES, await asyncio.gather(*(others.device(each, name) for each in SURFACES)), strict=True))
    alice, bob = await others.device("connect"), await others.sign_in(await others.register(), "grpc+poll")
    expected = Refused("UNAUTHENTICATED", "TOKEN_EXPIRED")
    ends = [asyncio.create_task(device.until_ended()) for device in devices.values()]
    pending = set(ends)
    while pending:
        _, pending = await asyncio.wait(ends, timeout=1)
        await renew(alice)
    for each, end in zip(devices, ends, strict=True):
        tally[each] = "ok" if end.result() == expected else "FAILED"
    assert {each: end.result() for each, end in zip(devices, ends, strict=True)} == dict.fromkeys(devices, expected)
    # The token that alice began with has ended long ago; her stream has not.
    await renew(bob)
    await bob.send(alice.user_id, "still there?")
    await alice.until_messages(direct(alice, bob), ["still there?"])


async def renew(device: Device) -> None:
    """Get the next pair of tokens, and tell the stream."""
    renewed = await device.call(users.RefreshTokenRequest(refresh_token=device.refresh_token))
    device.token, device.refresh_token = renewed.access_token, renewed.refresh_token
    if isinstance(device.surface, Connect):
        result = await device.surface.ask(_renewal(device.token))
        assert result.WhichOneof("outcome") == "done"


@pytest.mark.parametrize("whose", ["another user", "another device"])
async def test_a_stream_is_not_renewed_by_the_token_of(others: People, whose: str):
    name = await others.register()
    alice = await others.device("connect", name)
    other = await others.sign_in(name if whose == "another device" else await others.register(), "grpc+poll")
    await alice.surface.write(_renewal(other.token))
    assert await alice.until_ended() == Refused("UNAUTHENTICATED", "UNAUTHENTICATED")


def _renewal(token: str) -> messaging.ConnectRequest:
    return messaging.ConnectRequest(request_id=1, renew_token=messaging.RenewToken(access_token=token))
