import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from stonechat.messaging.v1 import conversation_event_pb2 as _conversation_event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("conversation_event", "result", "hello_page", "behind", "typing", "read_mark", "reconnect", "heartbeat")
    CONVERSATION_EVENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    HELLO_PAGE_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    READ_MARK_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    conversation_event: _conversation_event_pb2.ConversationEvent
    result: Result
    hello_page: HelloPage
    behind: Behind
    typing: TypingSignal
    read_mark: ReadMark
    reconnect: Reconnect
    heartbeat: Heartbeat
    def __init__(self, conversation_event: _Optional[_Union[_conversation_event_pb2.ConversationEvent, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., hello_page: _Optional[_Union[HelloPage, _Mapping]] = ..., behind: _Optional[_Union[Behind, _Mapping]] = ..., typing: _Optional[_Union[TypingSignal, _Mapping]] = ..., read_mark: _Optional[_Union[ReadMark, _Mapping]] = ..., reconnect: _Optional[_Union[Reconnect, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("request_id", "sent", "error", "done")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    sent: Sent
    error: _status_pb2.Status
    done: Done
    def __init__(self, request_id: _Optional[int] = ..., sent: _Optional[_Union[Sent, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ...) -> None: ...

class Sent(_message.Message):
    __slots__ = ("message_id", "status", "conversation_id", "seq", "timestamp")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    status: str
    conversation_id: str
    seq: int
    timestamp: _timestamp_pb2.Timestamp
    def __init__(self, message_id: _Optional[str] = ..., status: _Optional[str] = ..., conversation_id: _Optional[str] = ..., seq: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HelloPage(_message.Message):
    __slots__ = ("conversations", "gone", "complete")
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    conversations: _containers.RepeatedCompositeFieldContainer[ConversationHead]
    gone: _containers.RepeatedScalarFieldContainer[str]
    complete: bool
    def __init__(self, conversations: _Optional[_Iterable[_Union[ConversationHead, _Mapping]]] = ..., gone: _Optional[_Iterable[str]] = ..., complete: _Optional[bool] = ...) -> None: ...

class ConversationHead(_message.Message):
    __slots__ = ("conversation_id", "last_seq", "unread_count", "read_seq", "timestamp")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    UNREAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    READ_SEQ_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    last_seq: int
    unread_count: int
    read_seq: int
    timestamp: _timestamp_pb2.Timestamp
    def __init__(self, conversation_id: _Optional[str] = ..., last_seq: _Optional[int] = ..., unread_count: _Optional[int] = ..., read_seq: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Behind(_message.Message):
    __slots__ = ("conversation_id", "last_seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    last_seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., last_seq: _Optional[int] = ...) -> None: ...

class TypingSignal(_message.Message):
    __slots__ = ("conversation_id", "user_id")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    user_id: str
    def __init__(self, conversation_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class ReadMark(_message.Message):
    __slots__ = ("conversation_id", "user_id", "seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    user_id: str
    seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., user_id: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class Reconnect(_message.Message):
    __slots__ = ("after_ms",)
    AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    after_ms: int
    def __init__(self, after_ms: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
