"""A restart keeps everything, however the process ended."""

import signal

import httpx
import pytest

from tests.faults.clients import rest, sign_up
from tests.faults.server import until


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["told to stop", "killed"])
async def test_accounts_devices_groups_and_read_marks_are_kept(server, how):
    await server.start()
    async with rest(server.url) as http:
        ada, bob = await sign_up(http, "ada"), await sign_up(http, "bob")
        lost = await _signed_in(http)
        await _call(http.delete(f"/v1/devices/{lost['deviceId']}", headers=_bearer(lost)))
        body = {"name": "both", "memberIds": [bob.user_id]}
        group = (await _call(http.post("/v1/groups", json=body, headers=ada.header)))["groupId"]
        await until(lambda: _listed(http, bob, group), "the group is in bob's list")
        for to in (group, group, bob.user_id):
            body = {"to": to, "content": f"hello {to}", "type": "text"}
            await _call(http.post("/v1/messages/send", json=body, headers=ada.header))
        await _call(http.post(f"/v1/conversations/{group}/read", json={"seq": 2}, headers=bob.header))
        # The inbox is told after the call returned: of the group, and of the conversation with bob.
        await until(lambda: _inbox_has(http, ada, 2), "ada's inbox has both")
        before = await _seen(http, ada, bob, group)
    server.signal(how)
    await server.ended()
    await server.start()

    async with rest(server.url) as http:
        assert await _seen(http, ada, bob, group) == before
        heads = {head["conversationId"]: head for head in before["bob's conversations"]["conversations"]}
        assert (heads[group]["readSeq"], heads[group]["unreadCount"], heads[group]["lastSeq"]) == ("2", "1", "3")
        renewed = await _call(http.post("/v1/users/refresh", json={"refreshToken": ada.refresh_token}))
        assert (await http.get("/v1/conversations", headers=_bearer(renewed))).status_code == 200
        # Within 60 s a repeat, as after an answer that got lost, gives the same successor.
        again = await _call(http.post("/v1/users/refresh", json={"refreshToken": ada.refresh_token}))
        assert again["refreshToken"] == renewed["refreshToken"]
        refused = await http.post("/v1/users/refresh", json={"refreshToken": lost["refreshToken"]})
        assert refused.status_code == 401
        await _signed_in(http)


async def _call(answer) -> dict:
    return (await answer).raise_for_status().json()


def _bearer(signed: dict) -> dict[str, str]:
    return {"authorization": f"Bearer {signed['accessToken']}"}


async def _signed_in(http: httpx.AsyncClient) -> dict:
    return await _call(http.post("/v1/users/sign-in", json={"username": "ada", "password": "correct horse"}))


async def _listed(http: httpx.AsyncClient, account, group: str) -> bool:
    page = await _call(http.get("/v1/conversations", headers=account.header))
    return any(head["conversationId"] == group for head in page.get("conversations", ()))


async def _inbox_has(http: httpx.AsyncClient, account, count: int) -> bool:
    page = await _call(http.get(f"/v1/conversations/inbox.{account.user_id}/events", headers=account.header))
    return len(page.get("events", ())) >= count


async def _seen(http: httpx.AsyncClient, ada, bob, group: str) -> dict[str, dict]:
    """All that ada and bob can see, with the tokens that they had before."""
    pages = {
        "group": ("/v1/groups/" + group, ada),
        "members": (f"/v1/groups/{group}/members", bob),
        "events": (f"/v1/conversations/{group}/events", bob),
        "ada's conversations": ("/v1/conversations", ada),
        "bob's conversations": ("/v1/conversations", bob),
        "ada's inbox": (f"/v1/conversations/inbox.{ada.user_id}/events", ada),
        "bob": (f"/v1/users/{bob.user_id}", ada),
        "ada by name": ("/v1/usernames/ada", bob),
    }
    return {name: await _call(http.get(path, headers=who.header)) for name, (path, who) in pages.items()}
