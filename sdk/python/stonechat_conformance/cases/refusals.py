"""What is refused, and how: the same status, reason and field on every surface. Nothing of it is a fault of the server."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import case
from stonechat_conformance.contract import METHODS
from stonechat_conformance.device import Device
from stonechat_conformance.expect import must, must_equal, must_refuse
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused

NUMBER = 2**64 - 1
GUESSES = 60


@dataclass
class Scene:
    """Two who have talked."""

    alice: Device
    bob: Device
    sent: Any

    @property
    def talk(self) -> str:
        return direct(self.alice, self.bob)


Way = tuple[str, Callable[[Scene], Message]]


def send(**fields: Any) -> Callable[[Scene], Message]:
    """A good message, but for these fields; a callable is given the scene."""

    def make(scene: Scene) -> Message:
        good = {"to": scene.bob.user_id, "content": "hi", "type": "text", "client_message_id": scene.alice.key()}
        made = {name: value(scene) if callable(value) else value for name, value in fields.items()}
        return messaging.SendMessageRequest(**good | made)

    return make


def on(request_type: Any, **fields: Any) -> Callable[[Scene], Message]:
    """A request about the scene's message, but for these fields."""

    def make(scene: Scene) -> Message:
        good: dict[str, Any] = {"conversation_id": scene.talk, "message_id": scene.sent.message_id}
        good |= {"client_message_id": scene.alice.key(), "content": "new", "emoji": "👍", "seq": 1}
        names = request_type.DESCRIPTOR.fields_by_name
        request: Message = request_type(**{name: value for name, value in (good | fields).items() if name in names})
        return request

    return make


def swapped(scene: Scene) -> str:
    _, low, high = scene.talk.split(".")
    return f"d.{high}.{low}"


INVALID: dict[str, list[Way]] = {
    "to": [
        ("nobody", send(to="")),
        ("nonsense", send(to="../../etc")),
        ("a name", send(to="alice")),
        ("an inbox", send(to="inbox.u1")),
        ("the own inbox", send(to=lambda scene: scene.alice.inbox)),
        ("oneself", send(to=lambda scene: scene.alice.user_id)),
        ("oneself, in a conversation", send(to=lambda scene: f"d.{scene.alice.user_id}.{scene.alice.user_id}")),
        ("leading zeros", send(to="u007")),
        ("zeros before a known one", send(to=lambda scene: f"u0{scene.bob.user_id[1:]}")),
        ("capitals", send(to=lambda scene: scene.bob.user_id.upper())),
        ("a space behind", send(to=lambda scene: f"{scene.bob.user_id} ")),
        ("a line feed behind", send(to=lambda scene: f"{scene.bob.user_id}\n")),
        ("a NUL inside", send(to="u1\0")),
        ("other digits", send(to="u\u0661\u0662")),
        ("unknown user", send(to="u9")),
        ("the largest id", send(to=f"u{2**63 - 1}")),
        ("beyond the largest id", send(to="u9999999999999999999")),
        ("20 digits", send(to="u99999999999999999999")),
        ("unknown group", send(to="g1")),
        ("a conversation of others", send(to="d.u1.u2")),
        ("a conversation the wrong way round", send(to=swapped)),
        ("the system", send(to="system")),
        ("65 bytes", send(to="u" * 65)),
    ],
    "content": [
        ("nothing", send(content="")),
        ("16,385 bytes", send(content="a" * 16_385)),
        ("16,386 bytes in 8,193 letters", send(content="é" * 8_193)),
        ("an edit to nothing", on(messaging.EditMessageRequest, content="")),
        ("an edit to 16,385 bytes", on(messaging.EditMessageRequest, content="a" * 16_385)),
    ],
    "type": [("no type", send(type="")), ("html", send(type="html")), ("capitals", send(type="Text"))],
    "client_message_id": [
        ("65 characters", send(client_message_id="k" * 65)),
        ("a space", send(client_message_id="a b")),
        ("other letters", send(client_message_id="ключ")),
        ("a key of the server's", send(client_message_id="~1")),
        ("a line feed", send(client_message_id="a\n")),
    ],
    "message_id": [
        ("no number", on(messaging.EditMessageRequest, message_id="m.1")),
        ("no seq", on(messaging.WithdrawMessageRequest, message_id="m1")),
        ("nothing", on(messaging.ReactRequest, message_id="")),
    ],
    "emoji": [
        ("none", on(messaging.ReactRequest, emoji="")),
        ("33 bytes", on(messaging.ReactRequest, emoji="a" * 33)),
    ],
    "conversation_id": [
        ("typing in an inbox", lambda scene: messaging.SendTypingRequest(conversation_id=scene.alice.inbox)),
        ("a mark in nonsense", lambda scene: messaging.MarkReadRequest(conversation_id="nonsense", seq=1)),
        ("an edit in an inbox", on(messaging.EditMessageRequest, conversation_id="inbox.u1")),
        (
            "a reaction the wrong way round",
            lambda scene: on(messaging.ReactRequest, conversation_id=swapped(scene))(scene),
        ),
    ],
    "seq": [("zero", on(messaging.MarkReadRequest, seq=0))],
    "limit": [
        ("201 messages", on(history.ListMessagesRequest, limit=201)),
        ("501 events", on(history.ListEventsRequest, limit=501)),
        ("the largest number", on(history.ListEventsRequest, limit=2**32 - 1)),
    ],
    "last_message_id": [
        ("nonsense", on(history.ListMessagesRequest, last_message_id="x")),
        ("one that is not there", on(history.ListMessagesRequest, last_message_id="m1.1")),
    ],
    "after_message_id": [
        ("with the other", on(history.ListMessagesRequest, after_message_id="m1.1", last_message_id="m1.1")),
        ("one that is not there", on(history.ListMessagesRequest, after_message_id="m1.1")),
    ],
    "page_size": [
        ("conversations", lambda scene: history.ListConversationsRequest(page_size=201)),
        ("devices", lambda scene: users.ListDevicesRequest(page_size=101)),
    ],
    "page_token": [
        ("conversations", lambda scene: history.ListConversationsRequest(page_token="nonsense")),
        ("no base64", lambda scene: history.ListConversationsRequest(page_token="%%%")),
        ("devices", lambda scene: users.ListDevicesRequest(page_token="nonsense")),
        ("too long", lambda scene: history.ListConversationsRequest(page_token="a" * 257)),
    ],
    "wait_seconds": [("61", lambda scene: messaging.PollRequest(wait_seconds=61))],
    "cursor": [("257 bytes", lambda scene: messaging.PollRequest(cursor="c" * 257))],
    "name": [
        ("none", lambda scene: groups.CreateGroupRequest(name="")),
        ("101 letters", lambda scene: groups.CreateGroupRequest(name="a" * 101)),
    ],
    "member_ids": [
        ("leading zeros", lambda scene: groups.CreateGroupRequest(name="g", member_ids=["u007"])),
        ("unknown", lambda scene: groups.CreateGroupRequest(name="g", member_ids=["u9"])),
        ("twice", lambda scene: groups.CreateGroupRequest(name="g", member_ids=[scene.bob.user_id] * 2)),
        ("101", lambda scene: groups.CreateGroupRequest(name="g", member_ids=[f"u{n}" for n in range(1, 102)])),
    ],
    "group_id": [("leading zeros", lambda scene: groups.GetGroupRequest(group_id="g007"))],
    "user_id": [("leading zeros", lambda scene: users.GetUserRequest(user_id="u007"))],
    "username": [
        ("capitals", lambda scene: users.RegisterRequest(username="Alice", password="12345678")),
        ("a line feed", lambda scene: users.RegisterRequest(username="alice\n", password="12345678")),
    ],
    "password": [
        ("7 bytes", lambda scene: users.RegisterRequest(username="somebody", password="1234567")),
        ("257 bytes", lambda scene: users.RegisterRequest(username="somebody", password="a" * 257)),
    ],
}
MISSING: dict[str, list[Way]] = {
    "conversation_id": [
        ("history of others", lambda scene: history.ListMessagesRequest(conversation_id="d.u1.u2")),
        ("another inbox", lambda scene: history.ListEventsRequest(conversation_id=scene.bob.inbox)),
        ("the wrong way round", lambda scene: history.ListEventsRequest(conversation_id=swapped(scene))),
        ("nonsense", lambda scene: history.ListEventsRequest(conversation_id="nonsense")),
    ],
    "message_id": [
        ("an edit of what is not there", on(messaging.EditMessageRequest, message_id="m1.1")),
        ("leading zeros", on(messaging.EditMessageRequest, message_id="m01.01")),
        ("the largest seq", on(messaging.ReactRequest, message_id=f"m1.{2**63 - 1}")),
        ("beyond the largest seq", on(messaging.ReactRequest, message_id="m1.9999999999999999999")),
    ],
}


async def scene_of(people: People) -> Scene:
    """A new one."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "hello")
    await bob.until_messages(sent.conversation_id, ["hello"])
    return Scene(alice, bob, sent)


async def all_refused(scene: Scene, ways: dict[str, list[Way]], code: str, reason: str) -> None:
    """Each must be refused like this, naming its field; what is not is told together."""
    expected: dict[str, Any] = {}
    came: dict[str, Any] = {}
    for field, named in ways.items():
        for way, make in named:
            refusal = Refused(code, reason, (field,))
            try:
                found = await scene.alice.call(make(scene))
            except Refused as refused:
                found = refused
            if found != refusal:
                expected[f"{field}: {way}"], came[f"{field}: {way}"] = refusal, found
    must_equal(came, expected, "how each must be refused")


@case()
async def a_field_that_breaks_its_rule_is_named(people: People) -> None:
    """Whatever a field may not be is INVALID_ARGUMENT (INVALID_FIELD), naming the field."""
    await all_refused(await scene_of(people), INVALID, "INVALID_ARGUMENT", "INVALID_FIELD")


@case()
async def what_is_missing_and_what_is_forbidden_answer_alike(people: People) -> None:
    """What does not exist and what is not the caller's to see answer NOT_FOUND alike."""
    await all_refused(await scene_of(people), MISSING, "NOT_FOUND", "NOT_FOUND")


@case()
async def what_just_fits_is_taken(people: People) -> None:
    """The largest content, key and emoji are taken and pushed unchanged, and so are odd characters."""
    scene = await scene_of(people)
    largest = "é" * 8_192
    sent = await scene.alice.send(scene.talk, largest, key="k" * 64)
    await scene.bob.until(lambda: scene.bob.messages(scene.talk) == ["hello", largest], "the largest message")
    must_equal((await scene.alice.history(scene.talk, limit=200))[0].content, largest)
    odd = '\0\x01\u202e\ufeff\U0010ffff\r\n"\\</script>'
    await scene.alice.send(scene.talk, odd)
    await scene.bob.until(lambda: scene.bob.messages(scene.talk)[2:] == [odd], "odd characters, unchanged")
    await scene.alice.react(sent, "a" * 32)
    answer = await scene.alice.call(history.ListEventsRequest(conversation_id=scene.talk, after_seq=NUMBER, limit=500))
    must_equal((list(answer.events), answer.last_seq), ([], 4))


@case()
async def wrong_credentials_and_unknown_names_answer_alike(people: People) -> None:
    """SignIn answers WRONG_CREDENTIALS alike for a wrong password and an unknown name."""
    alice = await people.sign_in(await people.register())
    for name, password in (("nobody-here", "12345678"), ("a" * 64, "x"), ("' or 1=1 --", "' or 1=1 --")):
        await must_refuse(
            alice.call(users.SignInRequest(username=name, password=password)),
            Refused("UNAUTHENTICATED", "WRONG_CREDENTIALS"),
        )


@case()
async def what_is_no_message_is_malformed(people: People) -> None:
    """Bytes that are no message of the request's type are INVALID_ARGUMENT (MALFORMED_REQUEST)."""
    alice = await people.sign_in(await people.register())
    nonsense = alice.surface.nonsense(METHODS[messaging.SendMessageRequest], alice.token)
    await must_refuse(alice.within(nonsense), Refused("INVALID_ARGUMENT", "MALFORMED_REQUEST"))


@case(without=dict.fromkeys(("rest+sse", "rest+poll"), "a path that is not there is NOT_FOUND"))
async def a_call_that_is_not_offered_is_unimplemented(people: People) -> None:
    """A call that the server does not know is UNIMPLEMENTED; what services say to each other is none for clients."""
    alice = await people.sign_in(await people.register())
    for path in ("/stonechat.messaging.v1.MessagingService/Nothing", "/stonechat.users.v1.DirectoryService/CheckUsers"):
        method = replace(METHODS[messaging.SendMessageRequest], path=path)
        nonsense = alice.surface.nonsense(method, alice.token)
        await must_refuse(alice.within(nonsense), Refused("UNIMPLEMENTED", "UNIMPLEMENTED"), path)


@case()
async def a_username_is_given_once(people: People) -> None:
    """Register is ALREADY_EXISTS (USERNAME_TAKEN) when the name is in use."""
    alice = await people.sign_in(await people.register())
    name = await people.register()
    again = users.RegisterRequest(username=name, password="another one")
    await must_refuse(alice.call(again), Refused("ALREADY_EXISTS", "USERNAME_TAKEN", ("username",)))


@case()
async def a_refresh_token_that_is_none_is_refused(people: People) -> None:
    """RefreshToken is UNAUTHENTICATED (REFRESH_TOKEN_INVALID) for a token that is unknown; a good one goes on working."""
    alice = await people.sign_in(await people.register())
    for token in ("nonsense", f"{alice.refresh_token}x", alice.refresh_token[:-4], alice.token):
        request = users.RefreshTokenRequest(refresh_token=token)
        await must_refuse(alice.call(request), Refused("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID", ("refresh_token",)))
    renewed = await alice.call(users.RefreshTokenRequest(refresh_token=alice.refresh_token))
    must_equal((renewed.user_id, renewed.device_id), (alice.user_id, alice.device_id), "whose the next pair is")


@case()
async def who_guesses_passwords_is_told_when_to_come_back(people: People) -> None:
    """Too many calls are RESOURCE_EXHAUSTED (RATE_LIMITED), and RetryInfo says when to come back."""
    name = await people.register()
    surface = people.surface()
    guess = users.SignInRequest(username=name, password="a guess")
    for _ in range(GUESSES):
        try:
            async with asyncio.timeout(people.server.patience.seconds):
                await surface.call(guess, "")
        except Refused as refused:
            if refused.reason == "RATE_LIMITED":
                must_equal(refused, Refused("RESOURCE_EXHAUSTED", "RATE_LIMITED"), "how it must be refused")
                must((refused.retry_after or 0) > 0, "RetryInfo says when to come back", refused.retry_after)
                return
            must_equal(refused, Refused("UNAUTHENTICATED", "WRONG_CREDENTIALS"), "how a guess must be refused")
    must(False, f"of {GUESSES} guesses some are refused RATE_LIMITED")
