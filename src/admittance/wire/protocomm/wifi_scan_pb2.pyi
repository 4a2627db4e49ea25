from admittance.wire.protocomm import constants_pb2 as _constants_pb2
from admittance.wire.protocomm import wifi_constants_pb2 as _wifi_constants_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScanMessage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCAN_COMMAND_START: _ClassVar[ScanMessage]
    SCAN_RESPONSE_START: _ClassVar[ScanMessage]
    SCAN_COMMAND_STATUS: _ClassVar[ScanMessage]
    SCAN_RESPONSE_STATUS: _ClassVar[ScanMessage]
    SCAN_COMMAND_RESULT: _ClassVar[ScanMessage]
    SCAN_RESPONSE_RESULT: _ClassVar[ScanMessage]
SCAN_COMMAND_START: ScanMessage
SCAN_RESPONSE_START: ScanMessage
SCAN_COMMAND_STATUS: ScanMessage
SCAN_RESPONSE_STATUS: ScanMessage
SCAN_COMMAND_RESULT: ScanMessage
SCAN_RESPONSE_RESULT: ScanMessage

class ScanCommandStart(_message.Message):
    __slots__ = ("blocking", "passive", "group_channels", "period_ms")
    BLOCKING_FIELD_NUMBER: _ClassVar[int]
    PASSIVE_FIELD_NUMBER: _ClassVar[int]
    GROUP_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    blocking: bool
    passive: bool
    group_channels: int
    period_ms: int
    def __init__(self, blocking: _Optional[bool] = ..., passive: _Optional[bool] = ..., group_channels: _Optional[int] = ..., period_ms: _Optional[int] = ...) -> None: ...

class ScanResponseStart(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ScanCommandStatus(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ScanResponseStatus(_message.Message):
    __slots__ = ("scan_finished", "result_count")
    SCAN_FINISHED_FIELD_NUMBER: _ClassVar[int]
    RESULT_COUNT_FIELD_NUMBER: _ClassVar[int]
    scan_finished: bool
    result_count: int
    def __init__(self, scan_finished: _Optional[bool] = ..., result_count: _Optional[int] = ...) -> None: ...

class ScanCommandResult(_message.Message):
    __slots__ = ("start_index", "count")
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    start_index: int
    count: int
    def __init__(self, start_index: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class ScanEntry(_message.Message):
    __slots__ = ("ssid", "channel", "rssi", "bssid", "auth")
    SSID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    RSSI_FIELD_NUMBER: _ClassVar[int]
    BSSID_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    ssid: bytes
    channel: int
    rssi: int
    bssid: bytes
    auth: _wifi_constants_pb2.AuthMode
    def __init__(self, ssid: _Optional[bytes] = ..., channel: _Optional[int] = ..., rssi: _Optional[int] = ..., bssid: _Optional[bytes] = ..., auth: _Optional[_Union[_wifi_constants_pb2.AuthMode, str]] = ...) -> None: ...

class ScanResponseResult(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ScanEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ScanEntry, _Mapping]]] = ...) -> None: ...

class ScanPayload(_message.Message):
    __slots__ = ("msg", "status", "command_start", "response_start", "command_status", "response_status", "command_result", "response_result")
    MSG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_START_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_START_FIELD_NUMBER: _ClassVar[int]
    COMMAND_STATUS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RESULT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_RESULT_FIELD_NUMBER: _ClassVar[int]
    msg: ScanMessage
    status: _constants_pb2.Status
    command_start: ScanCommandStart
    response_start: ScanResponseStart
    command_status: ScanCommandStatus
    response_status: ScanResponseStatus
    command_result: ScanCommandResult
    response_result: ScanResponseResult
    def __init__(self, msg: _Optional[_Union[ScanMessage, str]] = ..., status: _Optional[_Union[_constants_pb2.Status, str]] = ..., command_start: _Optional[_Union[ScanCommandStart, _Mapping]] = ..., response_start: _Optional[_Union[ScanResponseStart, _Mapping]] = ..., command_status: _Optional[_Union[ScanCommandStatus, _Mapping]] = ..., response_status: _Optional[_Union[ScanResponseStatus, _Mapping]] = ..., command_result: _Optional[_Union[ScanCommandResult, _Mapping]] = ..., response_result: _Optional[_Union[ScanResponseResult, _Mapping]] = ...) -> None: ...
