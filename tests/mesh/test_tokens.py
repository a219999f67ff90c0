"""Who somebody is: said by the token and by nothing else, on every surface alike."""

from typing import Any

import pytest

from stonechat.history.v1 import history_service_pb2 as history
from tests.mesh.device import Device
from tests.mesh.forged import forgeries
from tests.mesh.people import People, direct
from tests.mesh.refusal import Refused
from tests.mesh.surfaces.model import sending

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNAUTHENTICATED = Refused("UNAUTHENTICATED", "UNAUTHENTICATED")


async def outcome(device: Device, token: str) -> tuple[Any, Any]:
    """What comes of a call and of a session with a token."""
    device.token = token
    try:
        called = await device.call(history.ListConversationsRequest())
    except Refused as refused:
        called = refused
    try:
        listened = await device.listen()
    except Refused as refused:
        listened = refused
    return called, listened


async def test_a_token_that_is_not_ours_is_refused(people: People, surface: str):
    device = await people.sign_in(await people.register(), surface)
    good = device.token
    jwks = (await people.network.http1.get("/.well-known/jwks.json")).json()
    bad = {"no token": "", **forgeries(good, jwks)}
    found = {what: await outcome(device, token) for what, token in bad.items()}
    assert found == dict.fromkeys(bad, (UNAUTHENTICATED, UNAUTHENTICATED))
    device.token = good
    await device.listen()


@pytest.mark.parametrize("header", ["x-user-id", "x-stonechat-user", "x-stonechat-inner", "x-envoy-original-path"])
async def test_a_header_makes_nobody_somebody_else(people: People, surface: str, header: str):
    alice, bob = await people.two(surface)
    eve = await people.sign_in(await people.register(), surface)
    with sending({header: alice.user_id}):
        await eve.listen()
        assert eve.books.keys() <= {eve.inbox}
        await eve.send(bob.user_id, "I am alice")
    (event,) = await bob.until_messages(direct(eve, bob), ["I am alice"])
    assert event.sender_id == eve.user_id
