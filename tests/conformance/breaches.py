"""Promises, each broken in one way, and the cases that must notice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event
from stonechat.users.v1 import user_service_pb2 as users
from tests.conformance.proxy import Breach, End, Metadata

_TOLD = {"Connect": messaging.ConnectResponse, "Poll": messaging.PollResponse}


@dataclass(frozen=True)
class Broken:
    """`noticed` are names of cases; they must fail on this surface, and pass where nothing is broken."""

    surface: str
    breach: Callable[[], Breach]
    noticed: tuple[str, ...]


# What is told


def told(change: Callable[[list[Event]], list[Event]]) -> Breach:
    """Other events are told than the server tells."""

    def answers(method: str, raw: bytes) -> Iterator[bytes]:
        kind = _TOLD.get(method)
        if kind is None:
            yield raw
            return
        message: Any = kind.FromString(raw)
        events = change(list(message.events))
        del message.events[:]
        message.events.extend(events)
        if events or method == "Poll":
            yield message.SerializeToString()

    return Breach(answers=answers)


def _second(event: Event) -> bool:
    said = event.conversation_event
    return said.conversation_id.startswith("d.") and said.seq == 2


def _swapped() -> Breach:
    held: dict[str, Event] = {}

    def change(events: list[Event]) -> list[Event]:
        out = []
        for event in events:
            name = event.conversation_event.conversation_id
            if _second(event) and name not in held:
                held[name] = event
                continue
            out.append(event)
            if event.conversation_event.seq == 3 and name in held:
                out.append(held.pop(name))
        return out

    return told(change)


def _each(change: Callable[[Event], None]) -> Callable[[], Breach]:
    def all_of(events: list[Event]) -> list[Event]:
        for event in events:
            change(event)
        return events

    return lambda: told(all_of)


def _shout(event: Event) -> None:
    if event.conversation_event.HasField("message"):
        event.conversation_event.message.content += "!"


def _same_time(event: Event) -> None:
    if event.HasField("conversation_event"):
        event.conversation_event.timestamp.FromSeconds(1_700_000_000)


def _without(payload: str) -> Callable[[], Breach]:
    return lambda: told(lambda events: [event for event in events if not event.HasField(payload)])  # type: ignore[arg-type]


# What is answered


def answered(method: str, kind: Any, change: Callable[[Any], None]) -> Callable[[], Breach]:
    """An rpc answers something else."""

    def answers(called: str, raw: bytes) -> Iterator[bytes]:
        if called != method:
            yield raw
            return
        message = kind.FromString(raw)
        change(message)
        yield message.SerializeToString()

    return lambda: Breach(answers=answers)


def _doubled(page: Any) -> None:
    if page.conversations:
        page.conversations.append(page.conversations[0])


def _hole(page: Any) -> None:
    if len(page.events) > 1:
        del page.events[-1]


def _kept(page: Any) -> None:
    for message in page.messages:
        message.content = message.content or "a secret"


def _one_more(page: Any) -> None:
    for head in page.conversations:
        head.unread_count += 1


# What is asked


def asked(method: str, kind: Any, change: Callable[[Any], None]) -> Callable[[], Breach]:
    """The server understands something else than was asked."""

    def request(called: str, raw: bytes) -> bytes:
        if called != method:
            return raw
        message = kind.FromString(raw)
        change(message)
        return bytes(message.SerializeToString())

    return lambda: Breach(request=request)


def _forgetful() -> Breach:
    count = 0

    def forget(message: Any) -> None:
        nonlocal count
        count += 1
        message.client_message_id += f".{count}"

    return asked("SendMessage", messaging.SendMessageRequest, forget)()


def _cut(message: Any) -> None:
    message.content = message.content[:16_384]


def _padded(message: Any) -> None:
    if len(message.content.encode()) == 16_384:
        message.content += "x"


# How it ends


def ends(change: Callable[[str, End], End | None]) -> Callable[[], Breach]:
    """Refusals are others."""
    return lambda: Breach(end=change)


def _with_detail(kind: Any, change: Callable[[Any], Any]) -> Callable[[str, End], End]:
    """One kind of the details of an error is changed, or left out where `change` returns None."""

    def end(method: str, ended: End) -> End:
        if ended.details:
            kept = []
            for packed in ended.details.details:
                detail = kind()
                if packed.Unpack(detail):
                    if (changed := change(detail)) is None:
                        continue
                    packed.Pack(changed)
                kept.append(packed)
            del ended.details.details[:]
            ended.details.details.extend(kept)
        return ended

    return end


def _other_reason(info: Any) -> Any:
    if info.reason == "INVALID_FIELD":
        info.reason = "MALFORMED_REQUEST"
    return info


def _other_field(bad: Any) -> Any:
    for violation in bad.field_violations:
        violation.field = "request"
    return bad


def _other_domain(info: Any) -> Any:
    info.domain = "example"
    return info


def _bare(method: str, ended: End) -> End:
    return End(ended.code, ended.message, None)


def _other_code(method: str, ended: End) -> End:
    if ended.code is grpc.StatusCode.NOT_FOUND and ended.details:
        ended.code = grpc.StatusCode.PERMISSION_DENIED
        ended.details.code = grpc.StatusCode.PERMISSION_DENIED.value[0]
    return ended


def _told_apart(method: str, ended: End) -> End:
    if method == "SignIn" and ended.details and "do not fit" in ended.message:
        ended.code = grpc.StatusCode.NOT_FOUND
        ended.details.code = grpc.StatusCode.NOT_FOUND.value[0]
    return ended


def _goes_on(method: str, ended: End) -> End | None:
    return None if method == "Connect" else ended


# Who asks


def _anybody() -> Breach:
    """Who brings no token is given that of whoever signed in last."""
    last: list[str] = []

    def answers(method: str, raw: bytes) -> Iterator[bytes]:
        if method == "SignIn":
            last[:] = [users.SignInResponse.FromString(raw).access_token]
        yield raw

    def metadata(method: str, sent: Metadata) -> Metadata:
        if last and not any(key == "authorization" for key, _ in sent):
            return [*sent, ("authorization", f"Bearer {last[0]}")]
        return sent

    return Breach(metadata=metadata, answers=answers)


def _by_header() -> Breach:
    """A header says who somebody is."""
    tokens: dict[str, str] = {}

    def answers(method: str, raw: bytes) -> Iterator[bytes]:
        if method == "SignIn":
            session = users.SignInResponse.FromString(raw)
            tokens[session.user_id] = session.access_token
        yield raw

    def metadata(method: str, sent: Metadata) -> Metadata:
        who = dict(sent).get("x-user-id")
        if who not in tokens:
            return sent
        return [(key, f"Bearer {tokens[who]}" if key == "authorization" else value) for key, value in sent]

    return Breach(metadata=metadata, answers=answers)


ARRIVES = "a message arrives"
RULES = "a field that breaks its rule is named"
BREACHES: dict[str, Broken] = {
    "an event is dropped": Broken(
        "connect", lambda: told(lambda events: [event for event in events if not _second(event)]), (ARRIVES,)
    ),
    "an event is told twice": Broken(
        "connect",
        lambda: told(lambda events: [each for event in events for each in [event] * (1 + _second(event))]),
        (ARRIVES,),
    ),
    "an event is told twice to who polls": Broken(
        "grpc+poll",
        lambda: told(lambda events: [each for event in events for each in [event] * (1 + _second(event))]),
        (ARRIVES,),
    ),
    "two events change places": Broken("connect", _swapped, (ARRIVES,)),
    "what is told is not what was sent": Broken("connect", _each(_shout), (ARRIVES,)),
    "time stands still": Broken("connect", _each(_same_time), (ARRIVES,)),
    "read marks are not told": Broken(
        "connect", _without("read_mark"), ("reading moves the unread count and is signalled",)
    ),
    "typing is not told": Broken("grpc+poll", _without("typing"), ("typing is seen by the others",)),
    "results are not told": Broken("connect", _without("result"), (ARRIVES,)),
    "a repeat is answered anew": Broken(
        "grpc+poll",
        _forgetful,
        ("a repeat gets the first answer", "SendMessage repeated", "SendMessage with other content"),
    ),
    "a limit is wider": Broken(
        "grpc+poll",
        asked("SendMessage", messaging.SendMessageRequest, _cut),
        (RULES, "SendMessage.content: string.max_bytes 16384"),
    ),
    "a limit is narrower": Broken(
        "grpc+poll",
        asked("SendMessage", messaging.SendMessageRequest, _padded),
        ("what just fits is taken", "SendMessage.content: string.max_bytes 16384"),
    ),
    "a place is missing": Broken(
        "grpc+poll",
        answered("SendMessage", messaging.SendMessageResponse, lambda sent: sent.ClearField("seq")),
        (ARRIVES,),
    ),
    "a page has an entry twice": Broken(
        "connect",
        answered("ListConversations", history.ListConversationsResponse, _doubled),
        ("conversations come most recent first in pages", "ListConversations in pages"),
    ),
    "history has a hole": Broken(
        "connect",
        answered("ListEvents", history.ListEventsResponse, _hole),
        ("events after a seq are what was pushed",),
    ),
    "what was withdrawn can be read": Broken(
        "connect",
        answered("ListMessages", history.ListMessagesResponse, _kept),
        ("what was withdrawn is gone everywhere",),
    ),
    "an unread count is one too high": Broken(
        "connect",
        answered("ListConversations", history.ListConversationsResponse, _one_more),
        ("reading moves the unread count and is signalled",),
    ),
    "a lost cursor is not told": Broken(
        "grpc+poll",
        answered("Poll", messaging.PollResponse, lambda answer: answer.ClearField("reset")),
        ("who lost its cursor gets what was missed too", "a cursor is of use to nobody else"),
    ),
    "an error has another reason": Broken(
        "grpc+poll",
        ends(_with_detail(ErrorInfo, _other_reason)),
        (RULES, "GetGroup.group_id: string.pattern ^g[1-9][0-9]{0,18}$"),
    ),
    "an error names another field": Broken("grpc+poll", ends(_with_detail(BadRequest, _other_field)), (RULES,)),
    "an error names no field": Broken("grpc+poll", ends(_with_detail(BadRequest, lambda bad: None)), (RULES,)),
    "an error is somebody else's": Broken("grpc+poll", ends(_with_detail(ErrorInfo, _other_domain)), (RULES,)),
    "an error has no details": Broken("grpc+poll", ends(_bare), (RULES, "SendMessage without a token")),
    "what is forbidden is told from what is not there": Broken(
        "grpc+poll",
        ends(_other_code),
        ("what is missing and what is forbidden answer alike", "a group of others is not there"),
    ),
    "wrong passwords are told from unknown names": Broken(
        "grpc+poll", ends(_told_apart), ("wrong credentials and unknown names answer alike",)
    ),
    "nobody is told when to come back": Broken(
        "grpc+poll",
        ends(_with_detail(RetryInfo, lambda retry: None)),
        ("who guesses passwords is told when to come back",),
    ),
    "who was signed out goes on": Broken("connect", ends(_goes_on), ("a device that is signed out ends at once",)),
    "nobody needs a token": Broken(
        "grpc+poll", _anybody, ("a token that is not ours is refused", "ListConversations without a token")
    ),
    "a header says who somebody is": Broken(
        "grpc+poll", _by_header, ("a header makes nobody somebody else: x-user-id",)
    ),
}
