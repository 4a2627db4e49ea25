from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUCCESS: _ClassVar[Status]
    INVALID_SECURITY_SCHEME: _ClassVar[Status]
    INVALID_PROTO: _ClassVar[Status]
    TOO_MANY_SESSIONS: _ClassVar[Status]
    INVALID_ARGUMENT: _ClassVar[Status]
    INTERNAL_ERROR: _ClassVar[Status]
    CRYPTO_ERROR: _ClassVar[Status]
    INVALID_SESSION: _ClassVar[Status]
SUCCESS: Status
INVALID_SECURITY_SCHEME: Status
INVALID_PROTO: Status
TOO_MANY_SESSIONS: Status
INVALID_ARGUMENT: Status
INTERNAL_ERROR: Status
CRYPTO_ERROR: Status
INVALID_SESSION: Status
