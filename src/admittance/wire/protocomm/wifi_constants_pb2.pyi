from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTED: _ClassVar[StationState]
    CONNECTING: _ClassVar[StationState]
    DISCONNECTED: _ClassVar[StationState]
    CONNECTION_FAILED: _ClassVar[StationState]

class FailReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTH_ERROR: _ClassVar[FailReason]
    NETWORK_NOT_FOUND: _ClassVar[FailReason]

class AuthMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPEN: _ClassVar[AuthMode]
    WEP: _ClassVar[AuthMode]
    WPA_PSK: _ClassVar[AuthMode]
    WPA2_PSK: _ClassVar[AuthMode]
    WPA_WPA2_PSK: _ClassVar[AuthMode]
    WPA2_ENTERPRISE: _ClassVar[AuthMode]
    WPA3_PSK: _ClassVar[AuthMode]
    WPA2_WPA3_PSK: _ClassVar[AuthMode]
CONNECTED: StationState
CONNECTING: StationState
DISCONNECTED: StationState
CONNECTION_FAILED: StationState
AUTH_ERROR: FailReason
NETWORK_NOT_FOUND: FailReason
OPEN: AuthMode
WEP: AuthMode
WPA_PSK: AuthMode
WPA2_PSK: AuthMode
WPA_WPA2_PSK: AuthMode
WPA2_ENTERPRISE: AuthMode
WPA3_PSK: AuthMode
WPA2_WPA3_PSK: AuthMode

class ConnectedState(_message.Message):
    __slots__ = ("ip4_address", "auth_mode", "ssid", "bssid", "channel")
    IP4_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AUTH_MODE_FIELD_NUMBER: _ClassVar[int]
    SSID_FIELD_NUMBER: _ClassVar[int]
    BSSID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ip4_address: str
    auth_mode: AuthMode
    ssid: bytes
    bssid: bytes
    channel: int
    def __init__(self, ip4_address: _Optional[str] = ..., auth_mode: _Optional[_Union[AuthMode, str]] = ..., ssid: _Optional[bytes] = ..., bssid: _Optional[bytes] = ..., channel: _Optional[int] = ...) -> None: ...
