"""EDHOC (RFC 9528) with method 3 and suite 2 over lakers, in the CoAP payloads of appendix A.2.

Both ends authenticate with static P-256 keys in CCS credentials, named by an 8-byte kid; message_4 is always sent.
What a peer sends is checked for form, size and curve before lakers sees it: lakers panics on a point that is not on
the curve, and is good for nothing after a failed step. So a machine here makes one attempt; `AuthenticationFailed`
ends it.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final, Generic, Protocol, TypeVar

import lakers
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import (
    AuthenticationFailed,
    KeyRefused,
    Malformed,
    Misuse,
    QuotaExceeded,
    Refused,
    SuiteRefused,
)
from admittance.protocol.channel.channel_keys import ChannelKeys
from admittance.protocol.signing import spki_of
from admittance.wire import cbor
from admittance.wire.channel import KID_BYTES, Credential

METHOD: Final = 3
SUITE: Final = 2
MAX_PAYLOAD_BYTES: Final = 128
# EDHOC error messages (RFC 9528, section 6): an unspecified error, and the cipher suite that is supported.
ERROR: Final = b"\x01\x67refused"
ERROR_SUITE: Final = b"\x02\x02"

_TRUE = b"\xf5"
_MASTER_SECRET, _MASTER_SALT = (0, 16), (1, 8)
_POINT_BYTES = 32
_MAC_BYTES = _TAG_BYTES = 8
_ID_AND_MAC_BYTES = 1 + KID_BYTES + 1 + _MAC_BYTES
_MAX_CONNECTION_ID_BYTES = 7
_MAX_EAD_ITEMS = 2
_CONNECTION_IDS = tuple(bytes((number,)) for number in range(24))
_ID_CRED = re.compile(rb"\xa1\x04\x48(.{8})", re.DOTALL)


class ChannelKey:
    """A static private key for channels, with its credential. Raises `KeyRefused` if the key isn't P-256."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private_key.curve, ec.SECP256R1):
            raise KeyRefused("A channel key must be a P-256 key.")
        self.credential = Credential.from_spki(spki_of(private_key.public_key()))
        self._scalar = private_key.private_numbers().private_value.to_bytes(_POINT_BYTES)

    @property
    def scalar(self) -> bytes:
        """The private key, 32 bytes: for EDHOC alone."""
        return self._scalar


class Listed(Protocol):
    """What a responder knows a credential by."""

    @property
    def spki(self) -> bytes: ...


ListedT = TypeVar("ListedT", bound=Listed)


class Initiator:
    """One attempt to open a channel to `peer`. `taken` are the connection ids of ours that are in use."""

    def __init__(self, own: ChannelKey, peer: Credential, taken: Collection[bytes] = ()) -> None:
        self._own = own
        self._peer = peer
        self._lakers = lakers.EdhocInitiator()
        self._connection_id = free_connection_id(taken)
        self._peer_id = b""
        self._has_begun = False

    def message_1(self) -> bytes:
        """The first payload. Raises `Misuse` when called twice: an ephemeral key serves one attempt."""
        if self._has_begun:
            raise Misuse("a handshake is begun once")
        self._has_begun = True
        with _failures_alike():
            return _TRUE + bytes(self._lakers.prepare_message_1(self._connection_id))

    def receive_message_2(self, payload: bytes) -> bytes:
        """Verify the responder and give message_3. Raises `Malformed` and `AuthenticationFailed`."""
        body = _byte_string(payload)
        # C_R has one byte as an integer, and its head besides as a string.
        longest = _POINT_BYTES + 1 + _MAX_CONNECTION_ID_BYTES + _ID_AND_MAC_BYTES
        if not _POINT_BYTES + 1 + _ID_AND_MAC_BYTES <= len(body) <= longest:
            raise Malformed("a message_2 of another size than a key id and no more takes")
        _check_point(body[:_POINT_BYTES])
        with _failures_alike():
            peer_id, id_cred, ead = self._lakers.parse_message_2(payload)
        if _kid(bytes(id_cred)) != self._peer.kid or ead:
            raise AuthenticationFailed(_FAILED)
        self._peer_id = bytes(peer_id)
        if len(self._peer_id) > _MAX_CONNECTION_ID_BYTES or self._peer_id == self._connection_id:
            raise AuthenticationFailed(_FAILED)
        with _failures_alike():
            self._lakers.verify_message_2(self._own.scalar, self._own.credential.value, self._peer.value)
            message_3, _ = self._lakers.prepare_message_3(lakers.CredentialTransfer.ByReference, [])
        return _encoded_id(self._peer_id) + bytes(message_3)

    def receive_message_4(self, payload: bytes) -> ChannelKeys:
        """Verify that the responder has the same keys, and give them. Raises as `receive_message_2`."""
        if len(_byte_string(payload)) != _TAG_BYTES:
            raise Malformed("a message_4 of another size")
        with _failures_alike():
            ead = self._lakers.process_message_4(payload)
        if ead:
            raise AuthenticationFailed(_FAILED)
        return _exported(self._lakers, sender_id=self._peer_id, recipient_id=self._connection_id)


class Responder(Generic[ListedT]):
    """One attempt of a peer to open a channel to us.

    `find` gives what is listed under a kid (8 bytes) and raises `Refused` for a kid that isn't listed; the peer can't
    tell that from a proof that doesn't hold, by time neither.
    """

    def __init__(self, own: ChannelKey, find: Callable[[bytes], ListedT]) -> None:
        self._own = own
        self._find = find
        self._lakers = lakers.EdhocResponder(own.scalar, own.credential.value)
        self._peer_id = b""
        self._connection_id = b""
        self._keys: ChannelKeys | None = None

    @property
    def connection_id(self) -> bytes:
        """Our connection id (C_R); empty before message_1."""
        return self._connection_id

    def receive_message_1(self, payload: bytes, taken: Collection[bytes] = ()) -> bytes:
        """Take message_1 and give message_2; our connection id is none of `taken`.

        Raises `Malformed`, `SuiteRefused`, `AuthenticationFailed`, and `QuotaExceeded` if no connection id is free.
        """
        if not payload.startswith(_TRUE):
            raise Malformed("a message_1 that does not begin with true")
        message_1 = payload.removeprefix(_TRUE)
        peer_id = _checked_message_1(message_1)
        self._connection_id = free_connection_id({*taken, peer_id})
        with _failures_alike():
            self._peer_id = bytes(self._lakers.process_message_1(message_1)[0])
            message_2 = self._lakers.prepare_message_2(lakers.CredentialTransfer.ByReference, self._connection_id)
        if self._peer_id != peer_id:
            raise AuthenticationFailed(_FAILED)
        return bytes(message_2)

    def receive_message_3(self, payload: bytes) -> tuple[bytes, ListedT]:
        """Verify the initiator; give message_4 and what is listed. Raises `Malformed` and `AuthenticationFailed`."""
        if not self._connection_id or not payload.startswith(self._connection_id):
            raise Malformed("a message_3 that does not begin with our connection id")
        message_3 = payload.removeprefix(self._connection_id)
        if len(_byte_string(message_3)) != _ID_AND_MAC_BYTES + _TAG_BYTES:
            raise Malformed("a message_3 of another size than a key id and no more takes")
        with _failures_alike():
            id_cred, ead = self._lakers.parse_message_3(message_3)
        listed = self._listed(bytes(id_cred))
        credential = Credential.from_spki(listed.spki) if listed else self._own.credential
        with _failures_alike():
            self._lakers.verify_message_3(credential.value)
        if listed is None or ead:
            raise AuthenticationFailed(_FAILED)
        with _failures_alike():
            message_4 = bytes(self._lakers.prepare_message_4())
        self._keys = _exported(self._lakers, sender_id=self._peer_id, recipient_id=self._connection_id)
        return message_4, listed

    @property
    def keys(self) -> ChannelKeys:
        """The channel's keys. Raises `Misuse` before `receive_message_3` succeeded."""
        if self._keys is None:
            raise Misuse("a handshake that is not complete has no keys")
        return self._keys

    def _listed(self, id_cred: bytes) -> ListedT | None:
        try:
            return self._find(_kid(id_cred))
        except Refused:
            return None


_FAILED = "The handshake failed: the peer is not the one that is expected, or does not list our key."


@contextmanager
def _failures_alike() -> Iterator[None]:
    """Every failure of lakers is an authentication failure; a panic of its Rust code is no `Exception`."""
    try:
        yield
    except Exception as error:
        raise AuthenticationFailed(_FAILED) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise AuthenticationFailed(_FAILED) from None


def _checked_message_1(data: bytes) -> bytes:
    """C_I of a message_1 (RFC 9528, section 5.2.1) whose method, suite, point and EAD items we take."""
    method, suites, point, connection_id, *external_data = _message_1_items(data)
    if method != METHOD or isinstance(method, bool):
        raise Malformed("a message_1 of another method")
    _check_suites(suites)
    if not isinstance(point, bytes) or len(point) != _POINT_BYTES:
        raise Malformed("a message_1 without a point of 32 bytes")
    _check_point(point)
    _check_external_data(external_data)
    return _decoded_id(connection_id)


def _message_1_items(data: bytes) -> list[object]:
    """The items of a message_1: four, and up to two for each of a few EAD items."""
    if len(data) > MAX_PAYLOAD_BYTES:
        raise Malformed("a message_1 that is too large")
    for count in range(4, 4 + 2 * _MAX_EAD_ITEMS + 1):
        try:
            items = cbor.decode(bytes((0x80 | count,)) + data)
        except Malformed:
            continue
        if isinstance(items, list):
            return items
    raise Malformed("a message_1 with another number of items, or another encoding")


def _check_external_data(items: list[object]) -> None:
    """EAD items are ignored unless they are critical, which a negative label says (RFC 9528, section 3.8)."""
    label_came = False
    for item in items:
        if isinstance(item, bytes) and label_came:
            label_came = False
        elif isinstance(item, int) and not isinstance(item, bool) and item >= 0:
            label_came = True
        else:
            raise Malformed("a message_1 with an EAD item that is critical, or none")


def _check_suites(suites: object) -> None:
    """The last suite is the selected one; those before are preferred by the initiator (RFC 9528, section 6.3)."""
    listed = suites if isinstance(suites, list) else [suites]
    if isinstance(suites, list) and not 2 <= len(suites) <= 8:
        raise Malformed("a message_1 with a list of suites that is too short or too long")
    if not all(isinstance(suite, int) and not isinstance(suite, bool) for suite in listed):
        raise Malformed("a message_1 with a suite that is not a number")
    if listed[-1] != SUITE or SUITE in listed[:-1]:
        raise SuiteRefused("Only cipher suite 2 is supported.")


def _check_point(x: bytes) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x)
    except ValueError as error:
        raise Malformed("a point that is not on the curve") from error


def _byte_string(data: bytes) -> bytes:
    value = cbor.decode(data, MAX_PAYLOAD_BYTES)
    if not isinstance(value, bytes):
        raise Malformed("a handshake message that is not a byte string")
    return value


def _decoded_id(item: object) -> bytes:
    """A connection id: a number stands for the one byte that encodes it (RFC 9528, section 3.3.2)."""
    if isinstance(item, int) and not isinstance(item, bool) and -24 <= item < 24:
        return cbor.encode(item)
    if isinstance(item, bytes) and len(item) <= _MAX_CONNECTION_ID_BYTES and not _is_encoded_number(item):
        return item
    raise Malformed("a connection id that is not one")


def _encoded_id(connection_id: bytes) -> bytes:
    return connection_id if _is_encoded_number(connection_id) else cbor.encode(connection_id)


def _is_encoded_number(data: bytes) -> bool:
    return len(data) == 1 and (data[0] < 0x18 or 0x20 <= data[0] < 0x38)


def free_connection_id(taken: Collection[bytes]) -> bytes:
    """A connection id of ours that is none of `taken`. Raises `QuotaExceeded`."""
    for connection_id in _CONNECTION_IDS:
        if connection_id not in taken:
            return connection_id
    raise QuotaExceeded("There are too many channels to this peer.")


def _kid(id_cred: bytes) -> bytes:
    match = _ID_CRED.fullmatch(id_cred)
    if match is None:
        raise AuthenticationFailed(_FAILED)
    return match[1]


def _exported(
    side: "lakers.EdhocInitiator | lakers.EdhocResponder", *, sender_id: bytes, recipient_id: bytes
) -> ChannelKeys:
    """Master secret and salt by the exporter's labels 0 and 1 (RFC 9528, appendix A.1)."""
    with _failures_alike():
        secret = bytes(side.edhoc_exporter(_MASTER_SECRET[0], b"", _MASTER_SECRET[1]))
        salt = bytes(side.edhoc_exporter(_MASTER_SALT[0], b"", _MASTER_SALT[1]))
    return ChannelKeys(secret, salt, sender_id, recipient_id)
