from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_MESSAGE: _ClassVar[Kind]
    KIND_EDIT: _ClassVar[Kind]
    KIND_WITHDRAWAL: _ClassVar[Kind]
    KIND_REACTION: _ClassVar[Kind]
    KIND_MEMBERSHIP: _ClassVar[Kind]
    KIND_UNPROCESSABLE: _ClassVar[Kind]
    KIND_OPENED: _ClassVar[Kind]
    KIND_JOINED: _ClassVar[Kind]
    KIND_LEFT: _ClassVar[Kind]
    KIND_CONTACT_CHANGED: _ClassVar[Kind]
    KIND_DEVICE_SIGNED_OUT: _ClassVar[Kind]
    KIND_FENCE: _ClassVar[Kind]
    KIND_OPEN: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_MESSAGE: Kind
KIND_EDIT: Kind
KIND_WITHDRAWAL: Kind
KIND_REACTION: Kind
KIND_MEMBERSHIP: Kind
KIND_UNPROCESSABLE: Kind
KIND_OPENED: Kind
KIND_JOINED: Kind
KIND_LEFT: Kind
KIND_CONTACT_CHANGED: Kind
KIND_DEVICE_SIGNED_OUT: Kind
KIND_FENCE: Kind
KIND_OPEN: Kind

class Record(_message.Message):
    __slots__ = ("kind", "conversation_id", "sender_id", "client_message_id", "record_id", "body", "target_seq", "target_record_id", "not_after_us", "node", "request_id", "traceparent", "version", "joined", "left")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    TARGET_SEQ_FIELD_NUMBER: _ClassVar[int]
    TARGET_RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    conversation_id: str
    sender_id: str
    client_message_id: str
    record_id: int
    body: bytes
    target_seq: int
    target_record_id: int
    not_after_us: int
    node: str
    request_id: int
    traceparent: str
    version: int
    joined: _containers.RepeatedScalarFieldContainer[str]
    left: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., conversation_id: _Optional[str] = ..., sender_id: _Optional[str] = ..., client_message_id: _Optional[str] = ..., record_id: _Optional[int] = ..., body: _Optional[bytes] = ..., target_seq: _Optional[int] = ..., target_record_id: _Optional[int] = ..., not_after_us: _Optional[int] = ..., node: _Optional[str] = ..., request_id: _Optional[int] = ..., traceparent: _Optional[str] = ..., version: _Optional[int] = ..., joined: _Optional[_Iterable[str]] = ..., left: _Optional[_Iterable[str]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("record", "error", "partition", "offset", "conversation_id", "seq", "time_us")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    record: bytes
    error: str
    partition: int
    offset: int
    conversation_id: str
    seq: int
    time_us: int
    def __init__(self, record: _Optional[bytes] = ..., error: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., conversation_id: _Optional[str] = ..., seq: _Optional[int] = ..., time_us: _Optional[int] = ...) -> None: ...
