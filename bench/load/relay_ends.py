"""Ends at the product's relay: apps with DPoP tokens, devices with operational keys and certificates."""

import time
from abc import abstractmethod

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from admittance.client.dpop import DpopKey
from admittance.server.accounts.dpop import Nonces
from admittance.wire import message, relay
from admittance.wire.relay import RelayAccepted, RelayHello, RelayProof
from bench.load.ends import MARK, PAYLOAD_BYTES, payload
from bench.load.population import Device, Population, private_key
from bench.load.websocket_ends import WebSocketEnd, frame

# A CoAP message of 128 bytes on a stream (RFC 8323, section 4): POST, no token, a payload.
_COAP = b"\x00\x02\xff"


def device_proof(device: Device, nonce: bytes, certificate_sha256: bytes) -> bytes:
    """The encoded answer of a device to a node's hello. `certificate_sha256` is of what the node showed."""
    signed = relay.proof_input(nonce, certificate_sha256, device.device_id, device.epoch)
    r, s = decode_dss_signature(private_key(device.key).sign(signed, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return message.encode(RelayProof([device.certificate], device.device_id, device.epoch, signature))


def app_headers(population: Population, device: Device) -> tuple[tuple[str, str], ...]:
    """What the upgrade of the app that owns `device` carries."""
    app, now = population.apps[device.account], time.time()
    proof = DpopKey(private_key(app.key)).proof(
        method="GET",
        uri=f"{population.origin}{relay.APP_PATH}{device.device_id}",
        now=now,
        nonce=Nonces(population.nonce_key).current(now),
        access_token=app.token,
    )
    return (("Authorization", f"DPoP {app.token}"), ("DPoP", proof))


class DeviceEnd(WebSocketEnd):
    """A device that has proved itself once `ready` is done; its frames go to `take_batch`."""

    def __init__(self, device: Device, certificate_sha256: bytes) -> None:
        super().__init__(relay.DEVICE_PATH)
        self._device = device
        self._certificate_sha256 = certificate_sha256
        self._is_proven = False
        self._is_accepted = False

    @abstractmethod
    def take_batch(self, data: bytes) -> None:
        """A binary message of frames came."""

    def opened(self) -> None:
        """The node speaks first."""

    def take_message(self, data: bytes) -> None:
        if self._is_accepted:
            self.take_batch(data)
        elif self._is_proven:
            message.decode(data, RelayAccepted)
            self._is_accepted = True
            self.is_ready()
        else:
            nonce = message.decode(data, RelayHello).nonce
            self.write(frame(device_proof(self._device, nonce, self._certificate_sha256)))
            self._is_proven = True


class RelayDeviceEnd(DeviceEnd):
    """A device with one stream at a time. It keeps to its credit by answering what it got, and nothing more."""

    def __init__(self, device: Device, certificate_sha256: bytes) -> None:
        super().__init__(device, certificate_sha256)
        self._stream = 0
        self._ungranted = 0
        self._content = _COAP + payload(PAYLOAD_BYTES - len(_COAP))
        self._data = b""

    def messages(self, count: int) -> bytes:
        self._ungranted += count
        credit = b""
        if self._ungranted >= relay.CREDIT_BATCH:
            credit = relay.credit_frame(self._stream, self._ungranted)
            self._ungranted = 0
        return frame(credit + self._data * count)

    def take_batch(self, data: bytes) -> None:
        count = data.count(MARK)
        if not self._stream or not count:
            self._take_each(relay.decode_frames(data))
        if count:
            self.took(count)

    def _take_each(self, frames: list[relay.Frame]) -> None:
        for each in frames:
            if each.type == relay.OPEN:
                self._stream, self._ungranted = each.stream, 0
                self._data = relay.data_frame(each.stream, self._content, final=True)
            elif each.type == relay.CLOSE:
                self.fail(ConnectionAbortedError(f"the relay ended a stream: {each.reason.name}"))


class RelayAppEnd(WebSocketEnd):
    """An app that is connected to one device."""

    def __init__(self, population: Population, device: Device) -> None:
        super().__init__(f"{relay.APP_PATH}{device.device_id}", app_headers(population, device))
        self._frame = frame(_COAP + payload(PAYLOAD_BYTES - len(_COAP)))

    def opened(self) -> None:
        self.is_ready()

    def messages(self, count: int) -> bytes:
        return self._frame * count

    def take_message(self, data: bytes) -> None:
        self.took(1)
