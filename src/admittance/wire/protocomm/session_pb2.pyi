from admittance.wire.protocomm import sec2_pb2 as _sec2_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SecurityScheme(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SECURITY_0: _ClassVar[SecurityScheme]
    SECURITY_1: _ClassVar[SecurityScheme]
    SECURITY_2: _ClassVar[SecurityScheme]
SECURITY_0: SecurityScheme
SECURITY_1: SecurityScheme
SECURITY_2: SecurityScheme

class OtherSecurity(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionData(_message.Message):
    __slots__ = ("sec_ver", "sec0", "sec1", "sec2")
    SEC_VER_FIELD_NUMBER: _ClassVar[int]
    SEC0_FIELD_NUMBER: _ClassVar[int]
    SEC1_FIELD_NUMBER: _ClassVar[int]
    SEC2_FIELD_NUMBER: _ClassVar[int]
    sec_ver: SecurityScheme
    sec0: OtherSecurity
    sec1: OtherSecurity
    sec2: _sec2_pb2.Sec2Payload
    def __init__(self, sec_ver: _Optional[_Union[SecurityScheme, str]] = ..., sec0: _Optional[_Union[OtherSecurity, _Mapping]] = ..., sec1: _Optional[_Union[OtherSecurity, _Mapping]] = ..., sec2: _Optional[_Union[_sec2_pb2.Sec2Payload, _Mapping]] = ...) -> None: ...
