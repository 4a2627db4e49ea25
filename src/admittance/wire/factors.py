"""Messages about second factors, and of the login of a device that has a keyboard."""

from typing import Annotated

import msgspec

from admittance.wire.message import Bytes16, Bytes32, Message, Text, Unsigned, Word

Url = Annotated[str, msgspec.Meta(max_length=256)]


class MadeCode(Message, frozen=True):
    """An enrolment code that an enrolled device asked for; good until `expires_at` (Unix seconds)."""

    code: Word
    expires_at: Unsigned

    def __repr__(self) -> str:
        return f"MadeCode(expires_at={self.expires_at})"


class BootstrapRequest(Message, frozen=True, tag="admittance/bootstrap/1"):
    """Asks the server that a device was made for where its listeners are; `device_nonce` makes the answer fresh."""

    device_nonce: Bytes16


class Bootstrap(Message, frozen=True, tag="admittance/bootstrap-answer/1"):
    """Signed by the configuration key, so a device believes it whatever network it is on.

    `anchors` are the CA certificates (DER) that may vouch for the listeners.
    """

    device_nonce: Bytes16
    server_origin: Url
    first_contact_url: Url
    device_url: Url
    anchors: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=4)]
    server_time: Unsigned


class LoginRequest(Message, frozen=True, tag="admittance/login/1"):
    """Signed by identity: a person typed address and password into the device. `epoch` is the device's own."""

    nonce: Bytes32
    device_id: Word
    epoch: Unsigned
    email: Text
    password: Text

    def __repr__(self) -> str:
        return f"LoginRequest(device_id={self.device_id!r}, epoch={self.epoch}, …)"


class LoginStarted(Message, frozen=True):
    """The answer to every login, right or wrong: a ticket that is worth something only with a second factor.

    `epoch` is the one to enrol in.
    """

    ticket: Bytes32
    epoch: Unsigned
    server_time: Unsigned

    def __repr__(self) -> str:
        return f"LoginStarted(epoch={self.epoch})"
