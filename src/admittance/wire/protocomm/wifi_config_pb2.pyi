from admittance.wire.protocomm import constants_pb2 as _constants_pb2
from admittance.wire.protocomm import wifi_constants_pb2 as _wifi_constants_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigMessage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIG_COMMAND_STATUS: _ClassVar[ConfigMessage]
    CONFIG_RESPONSE_STATUS: _ClassVar[ConfigMessage]
    CONFIG_COMMAND_SET: _ClassVar[ConfigMessage]
    CONFIG_RESPONSE_SET: _ClassVar[ConfigMessage]
    CONFIG_COMMAND_APPLY: _ClassVar[ConfigMessage]
    CONFIG_RESPONSE_APPLY: _ClassVar[ConfigMessage]
CONFIG_COMMAND_STATUS: ConfigMessage
CONFIG_RESPONSE_STATUS: ConfigMessage
CONFIG_COMMAND_SET: ConfigMessage
CONFIG_RESPONSE_SET: ConfigMessage
CONFIG_COMMAND_APPLY: ConfigMessage
CONFIG_RESPONSE_APPLY: ConfigMessage

class ConfigCommandStatus(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfigResponseStatus(_message.Message):
    __slots__ = ("status", "station_state", "fail_reason", "connected")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATION_STATE_FIELD_NUMBER: _ClassVar[int]
    FAIL_REASON_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    status: _constants_pb2.Status
    station_state: _wifi_constants_pb2.StationState
    fail_reason: _wifi_constants_pb2.FailReason
    connected: _wifi_constants_pb2.ConnectedState
    def __init__(self, status: _Optional[_Union[_constants_pb2.Status, str]] = ..., station_state: _Optional[_Union[_wifi_constants_pb2.StationState, str]] = ..., fail_reason: _Optional[_Union[_wifi_constants_pb2.FailReason, str]] = ..., connected: _Optional[_Union[_wifi_constants_pb2.ConnectedState, _Mapping]] = ...) -> None: ...

class ConfigCommandSet(_message.Message):
    __slots__ = ("ssid", "passphrase", "bssid", "channel")
    SSID_FIELD_NUMBER: _ClassVar[int]
    PASSPHRASE_FIELD_NUMBER: _ClassVar[int]
    BSSID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ssid: bytes
    passphrase: bytes
    bssid: bytes
    channel: int
    def __init__(self, ssid: _Optional[bytes] = ..., passphrase: _Optional[bytes] = ..., bssid: _Optional[bytes] = ..., channel: _Optional[int] = ...) -> None: ...

class ConfigResponseSet(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _constants_pb2.Status
    def __init__(self, status: _Optional[_Union[_constants_pb2.Status, str]] = ...) -> None: ...

class ConfigCommandApply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfigResponseApply(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _constants_pb2.Status
    def __init__(self, status: _Optional[_Union[_constants_pb2.Status, str]] = ...) -> None: ...

class ConfigPayload(_message.Message):
    __slots__ = ("msg", "command_status", "response_status", "command_set", "response_set", "command_apply", "response_apply")
    MSG_FIELD_NUMBER: _ClassVar[int]
    COMMAND_STATUS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_SET_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SET_FIELD_NUMBER: _ClassVar[int]
    COMMAND_APPLY_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_APPLY_FIELD_NUMBER: _ClassVar[int]
    msg: ConfigMessage
    command_status: ConfigCommandStatus
    response_status: ConfigResponseStatus
    command_set: ConfigCommandSet
    response_set: ConfigResponseSet
    command_apply: ConfigCommandApply
    response_apply: ConfigResponseApply
    def __init__(self, msg: _Optional[_Union[ConfigMessage, str]] = ..., command_status: _Optional[_Union[ConfigCommandStatus, _Mapping]] = ..., response_status: _Optional[_Union[ConfigResponseStatus, _Mapping]] = ..., command_set: _Optional[_Union[ConfigCommandSet, _Mapping]] = ..., response_set: _Optional[_Union[ConfigResponseSet, _Mapping]] = ..., command_apply: _Optional[_Union[ConfigCommandApply, _Mapping]] = ..., response_apply: _Optional[_Union[ConfigResponseApply, _Mapping]] = ...) -> None: ...
