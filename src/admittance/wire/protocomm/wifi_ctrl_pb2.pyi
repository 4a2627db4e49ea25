from admittance.wire.protocomm import constants_pb2 as _constants_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ControlMessage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_RESERVED: _ClassVar[ControlMessage]
    CONTROL_COMMAND_RESET: _ClassVar[ControlMessage]
    CONTROL_RESPONSE_RESET: _ClassVar[ControlMessage]
    CONTROL_COMMAND_REPROVISION: _ClassVar[ControlMessage]
    CONTROL_RESPONSE_REPROVISION: _ClassVar[ControlMessage]
CONTROL_RESERVED: ControlMessage
CONTROL_COMMAND_RESET: ControlMessage
CONTROL_RESPONSE_RESET: ControlMessage
CONTROL_COMMAND_REPROVISION: ControlMessage
CONTROL_RESPONSE_REPROVISION: ControlMessage

class ControlCommandReset(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ControlResponseReset(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ControlCommandReprovision(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ControlResponseReprovision(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ControlPayload(_message.Message):
    __slots__ = ("msg", "status", "command_reset", "response_reset", "command_reprovision", "response_reprovision")
    MSG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RESET_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_RESET_FIELD_NUMBER: _ClassVar[int]
    COMMAND_REPROVISION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_REPROVISION_FIELD_NUMBER: _ClassVar[int]
    msg: ControlMessage
    status: _constants_pb2.Status
    command_reset: ControlCommandReset
    response_reset: ControlResponseReset
    command_reprovision: ControlCommandReprovision
    response_reprovision: ControlResponseReprovision
    def __init__(self, msg: _Optional[_Union[ControlMessage, str]] = ..., status: _Optional[_Union[_constants_pb2.Status, str]] = ..., command_reset: _Optional[_Union[ControlCommandReset, _Mapping]] = ..., response_reset: _Optional[_Union[ControlResponseReset, _Mapping]] = ..., command_reprovision: _Optional[_Union[ControlCommandReprovision, _Mapping]] = ..., response_reprovision: _Optional[_Union[ControlResponseReprovision, _Mapping]] = ...) -> None: ...
