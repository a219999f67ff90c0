import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stonechat.groups.v1 import membership_pb2 as _membership_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConversationEvent(_message.Message):
    __slots__ = ("conversation_id", "seq", "timestamp", "sender_id", "message_id", "client_message_id", "ordinal", "message", "edit", "withdrawal", "reaction", "membership", "unprocessable", "opened", "joined", "left", "contact_changed", "device_signed_out")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_FIELD_NUMBER: _ClassVar[int]
    REACTION_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    UNPROCESSABLE_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_CHANGED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_SIGNED_OUT_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    seq: int
    timestamp: _timestamp_pb2.Timestamp
    sender_id: str
    message_id: str
    client_message_id: str
    ordinal: int
    message: Message
    edit: Edit
    withdrawal: Withdrawal
    reaction: Reaction
    membership: _membership_pb2.MembershipChange
    unprocessable: Unprocessable
    opened: ConversationOpened
    joined: ConversationJoined
    left: ConversationLeft
    contact_changed: ContactChanged
    device_signed_out: DeviceSignedOut
    def __init__(self, conversation_id: _Optional[str] = ..., seq: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sender_id: _Optional[str] = ..., message_id: _Optional[str] = ..., client_message_id: _Optional[str] = ..., ordinal: _Optional[int] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., edit: _Optional[_Union[Edit, _Mapping]] = ..., withdrawal: _Optional[_Union[Withdrawal, _Mapping]] = ..., reaction: _Optional[_Union[Reaction, _Mapping]] = ..., membership: _Optional[_Union[_membership_pb2.MembershipChange, _Mapping]] = ..., unprocessable: _Optional[_Union[Unprocessable, _Mapping]] = ..., opened: _Optional[_Union[ConversationOpened, _Mapping]] = ..., joined: _Optional[_Union[ConversationJoined, _Mapping]] = ..., left: _Optional[_Union[ConversationLeft, _Mapping]] = ..., contact_changed: _Optional[_Union[ContactChanged, _Mapping]] = ..., device_signed_out: _Optional[_Union[DeviceSignedOut, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("type", "content")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    type: str
    content: str
    def __init__(self, type: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class Edit(_message.Message):
    __slots__ = ("message_id", "content", "type")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    content: str
    type: str
    def __init__(self, message_id: _Optional[str] = ..., content: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Withdrawal(_message.Message):
    __slots__ = ("message_id",)
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    def __init__(self, message_id: _Optional[str] = ...) -> None: ...

class Reaction(_message.Message):
    __slots__ = ("message_id", "emoji", "removed")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    EMOJI_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    emoji: str
    removed: bool
    def __init__(self, message_id: _Optional[str] = ..., emoji: _Optional[str] = ..., removed: _Optional[bool] = ...) -> None: ...

class Unprocessable(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConversationOpened(_message.Message):
    __slots__ = ("conversation_id",)
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    def __init__(self, conversation_id: _Optional[str] = ...) -> None: ...

class ConversationJoined(_message.Message):
    __slots__ = ("conversation_id", "version", "seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    version: int
    seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., version: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class ConversationLeft(_message.Message):
    __slots__ = ("conversation_id", "version", "seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    version: int
    seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., version: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class ContactChanged(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class DeviceSignedOut(_message.Message):
    __slots__ = ("device_id",)
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    def __init__(self, device_id: _Optional[str] = ...) -> None: ...
