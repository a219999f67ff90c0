"""Who somebody is: said by the token and by nothing else, on every surface alike."""

import json
from typing import Any

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import Case, case
from stonechat_conformance.device import Device
from stonechat_conformance.expect import must, must_equal
from stonechat_conformance.forged import forgeries
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.model import sending

UNAUTHENTICATED = Refused("UNAUTHENTICATED", "UNAUTHENTICATED")


async def outcome(device: Device, token: str) -> tuple[Any, Any]:
    """What comes of a call and of a session with a token."""
    device.token = token
    called: Any
    listened: Any
    try:
        called = await device.call(history.ListConversationsRequest())
    except Refused as refused:
        called = refused
    try:
        listened = await device.listen()
    except Refused as refused:
        listened = refused
    return called, listened


@case()
async def a_token_that_is_not_ours_is_refused(people: People) -> None:
    """No token, or one that is not the server's, is UNAUTHENTICATED for calls and sessions alike."""
    device = await people.sign_in(await people.register())
    good = device.token
    jwks = json.loads((await device.call(users.GetJwksRequest())).data)
    bad = {"no token": "", **forgeries(good, jwks)}
    found = {what: await outcome(device, token) for what, token in bad.items()}
    expected = (UNAUTHENTICATED, UNAUTHENTICATED)
    wrong = {what: came for what, came in found.items() if came != expected}
    must_equal(wrong, {}, f"a call and a session must end with {UNAUTHENTICATED!r}; with these they did not")
    device.token = good
    await device.listen()


def _header(name: str) -> Case:
    async def check(people: People) -> None:
        alice, bob = await people.two()
        eve = await people.sign_in(await people.register())
        with sending({name: alice.user_id}):
            await eve.listen()
            must(eve.books.keys() <= {eve.inbox}, "a session is that of the token's user", eve.books)
            await eve.send(bob.user_id, "I am alice")
        (event,) = await bob.until_messages(direct(eve, bob), ["I am alice"])
        must_equal(event.sender_id, eve.user_id, "who sent it")

    promise = f"Who somebody is is said by the token, never by the header {name}."
    return Case(f"a header makes nobody somebody else: {name}", promise, check)


HEADERS = [_header(name) for name in ("x-user-id", "x-stonechat-user", "x-stonechat-inner", "x-envoy-original-path")]
