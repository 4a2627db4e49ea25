from admittance.wire.protocomm import constants_pb2 as _constants_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sec2Message(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEC2_COMMAND_0: _ClassVar[Sec2Message]
    SEC2_RESPONSE_0: _ClassVar[Sec2Message]
    SEC2_COMMAND_1: _ClassVar[Sec2Message]
    SEC2_RESPONSE_1: _ClassVar[Sec2Message]
SEC2_COMMAND_0: Sec2Message
SEC2_RESPONSE_0: Sec2Message
SEC2_COMMAND_1: Sec2Message
SEC2_RESPONSE_1: Sec2Message

class Sec2Command0(_message.Message):
    __slots__ = ("client_username", "client_public")
    CLIENT_USERNAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_PUBLIC_FIELD_NUMBER: _ClassVar[int]
    client_username: bytes
    client_public: bytes
    def __init__(self, client_username: _Optional[bytes] = ..., client_public: _Optional[bytes] = ...) -> None: ...

class Sec2Response0(_message.Message):
    __slots__ = ("status", "device_public", "device_salt")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PUBLIC_FIELD_NUMBER: _ClassVar[int]
    DEVICE_SALT_FIELD_NUMBER: _ClassVar[int]
    status: _constants_pb2.Status
    device_public: bytes
    device_salt: bytes
    def __init__(self, status: _Optional[_Union[_constants_pb2.Status, str]] = ..., device_public: _Optional[bytes] = ..., device_salt: _Optional[bytes] = ...) -> None: ...

class Sec2Command1(_message.Message):
    __slots__ = ("client_proof",)
    CLIENT_PROOF_FIELD_NUMBER: _ClassVar[int]
    client_proof: bytes
    def __init__(self, client_proof: _Optional[bytes] = ...) -> None: ...

class Sec2Response1(_message.Message):
    __slots__ = ("status", "device_proof", "device_nonce")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PROOF_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NONCE_FIELD_NUMBER: _ClassVar[int]
    status: _constants_pb2.Status
    device_proof: bytes
    device_nonce: bytes
    def __init__(self, status: _Optional[_Union[_constants_pb2.Status, str]] = ..., device_proof: _Optional[bytes] = ..., device_nonce: _Optional[bytes] = ...) -> None: ...

class Sec2Payload(_message.Message):
    __slots__ = ("msg", "command0", "response0", "command1", "response1")
    MSG_FIELD_NUMBER: _ClassVar[int]
    COMMAND0_FIELD_NUMBER: _ClassVar[int]
    RESPONSE0_FIELD_NUMBER: _ClassVar[int]
    COMMAND1_FIELD_NUMBER: _ClassVar[int]
    RESPONSE1_FIELD_NUMBER: _ClassVar[int]
    msg: Sec2Message
    command0: Sec2Command0
    response0: Sec2Response0
    command1: Sec2Command1
    response1: Sec2Response1
    def __init__(self, msg: _Optional[_Union[Sec2Message, str]] = ..., command0: _Optional[_Union[Sec2Command0, _Mapping]] = ..., response0: _Optional[_Union[Sec2Response0, _Mapping]] = ..., command1: _Optional[_Union[Sec2Command1, _Mapping]] = ..., response1: _Optional[_Union[Sec2Response1, _Mapping]] = ...) -> None: ...
