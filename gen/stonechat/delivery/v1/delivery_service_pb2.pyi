from stonechat.delivery.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_STORED: _ClassVar[Outcome]
    OUTCOME_REPEAT: _ClassVar[Outcome]
    OUTCOME_CONFLICT: _ClassVar[Outcome]
    OUTCOME_EXPIRED: _ClassVar[Outcome]
    OUTCOME_NO_TARGET: _ClassVar[Outcome]
    OUTCOME_STALE: _ClassVar[Outcome]
    OUTCOME_UNPROCESSABLE: _ClassVar[Outcome]
    OUTCOME_MOVED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_STORED: Outcome
OUTCOME_REPEAT: Outcome
OUTCOME_CONFLICT: Outcome
OUTCOME_EXPIRED: Outcome
OUTCOME_NO_TARGET: Outcome
OUTCOME_STALE: Outcome
OUTCOME_UNPROCESSABLE: Outcome
OUTCOME_MOVED: Outcome

class RelayRequest(_message.Message):
    __slots__ = ("node", "subscribe", "unsubscribe", "unanswered", "signals")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    node: str
    subscribe: _containers.RepeatedScalarFieldContainer[str]
    unsubscribe: _containers.RepeatedScalarFieldContainer[str]
    unanswered: _containers.RepeatedCompositeFieldContainer[UnansweredRequest]
    signals: _containers.RepeatedCompositeFieldContainer[Signal]
    def __init__(self, node: _Optional[str] = ..., subscribe: _Optional[_Iterable[str]] = ..., unsubscribe: _Optional[_Iterable[str]] = ..., unanswered: _Optional[_Iterable[_Union[UnansweredRequest, _Mapping]]] = ..., signals: _Optional[_Iterable[_Union[Signal, _Mapping]]] = ...) -> None: ...

class UnansweredRequest(_message.Message):
    __slots__ = ("request_id", "conversation_id", "sender_id", "client_message_id", "record_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    conversation_id: str
    sender_id: str
    client_message_id: str
    record_id: int
    def __init__(self, request_id: _Optional[int] = ..., conversation_id: _Optional[str] = ..., sender_id: _Optional[str] = ..., client_message_id: _Optional[str] = ..., record_id: _Optional[int] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("conversation_id", "key", "frame")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    key: str
    frame: bytes
    def __init__(self, conversation_id: _Optional[str] = ..., key: _Optional[str] = ..., frame: _Optional[bytes] = ...) -> None: ...

class RelayResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RelayItem]
    def __init__(self, items: _Optional[_Iterable[_Union[RelayItem, _Mapping]]] = ...) -> None: ...

class RelayItem(_message.Message):
    __slots__ = ("conversation_id", "ack", "event", "moved", "answer", "not_owner", "tick", "signal", "key")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    NOT_OWNER_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    ack: RelayAck
    event: RelayEvent
    moved: int
    answer: RelayAnswer
    not_owner: bool
    tick: bool
    signal: bytes
    key: str
    def __init__(self, conversation_id: _Optional[str] = ..., ack: _Optional[_Union[RelayAck, _Mapping]] = ..., event: _Optional[_Union[RelayEvent, _Mapping]] = ..., moved: _Optional[int] = ..., answer: _Optional[_Union[RelayAnswer, _Mapping]] = ..., not_owner: _Optional[bool] = ..., tick: _Optional[bool] = ..., signal: _Optional[bytes] = ..., key: _Optional[str] = ...) -> None: ...

class RelayAck(_message.Message):
    __slots__ = ("head", "claim", "era")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    ERA_FIELD_NUMBER: _ClassVar[int]
    head: int
    claim: int
    era: int
    def __init__(self, head: _Optional[int] = ..., claim: _Optional[int] = ..., era: _Optional[int] = ...) -> None: ...

class RelayEvent(_message.Message):
    __slots__ = ("seq", "claim", "frame", "kind", "subjects", "traceparent", "version", "era")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERA_FIELD_NUMBER: _ClassVar[int]
    seq: int
    claim: int
    frame: bytes
    kind: _record_pb2.Kind
    subjects: _containers.RepeatedScalarFieldContainer[str]
    traceparent: str
    version: int
    era: int
    def __init__(self, seq: _Optional[int] = ..., claim: _Optional[int] = ..., frame: _Optional[bytes] = ..., kind: _Optional[_Union[_record_pb2.Kind, str]] = ..., subjects: _Optional[_Iterable[str]] = ..., traceparent: _Optional[str] = ..., version: _Optional[int] = ..., era: _Optional[int] = ...) -> None: ...

class RelayAnswer(_message.Message):
    __slots__ = ("request_id", "outcome", "seq", "record_id", "time_us")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    outcome: Outcome
    seq: int
    record_id: int
    time_us: int
    def __init__(self, request_id: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., seq: _Optional[int] = ..., record_id: _Optional[int] = ..., time_us: _Optional[int] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ParkedRecord(_message.Message):
    __slots__ = ("dead_letter_id", "dead_letter")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    dead_letter: _record_pb2.DeadLetter
    def __init__(self, dead_letter_id: _Optional[str] = ..., dead_letter: _Optional[_Union[_record_pb2.DeadLetter, _Mapping]] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[ParkedRecord]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[ParkedRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class GetDeadLetterResponse(_message.Message):
    __slots__ = ("dead_letter",)
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    dead_letter: ParkedRecord
    def __init__(self, dead_letter: _Optional[_Union[ParkedRecord, _Mapping]] = ...) -> None: ...

class ReplayDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class ReplayDeadLetterResponse(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...
