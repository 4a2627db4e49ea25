"""Two ends of a channel and the wire between them, which tests may watch and tamper with."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import NotFound
from admittance.protocol.channel.channel import (
    Channel,
    Event,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.signing import SoftwareSigner
from admittance.wire.channel import Entry
from admittance.wire.coap import codes, stream
from admittance.wire.coap.message import CoapMessage
from admittance.wire.coap.options import OBSERVE, path_options

EPOCH = 3
NOW = 1000.0

Tamper = Callable[[bytes], Iterable[bytes]]


def new_key() -> ChannelKey:
    return ChannelKey(ec.generate_private_key(ec.SECP256R1()))


def new_signer() -> SoftwareSigner:
    return SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))


DEVICE_KEY, APP_KEY, OTHER_KEY = new_key(), new_key(), new_key()


def owner(key: ChannelKey = APP_KEY, signing: bytes = b"", epoch: int = EPOCH) -> Entry:
    return Entry(key.credential.spki, signing, "owner", epoch, "phone", 0, ())


def listing(*entries: Entry) -> Callable[[bytes], Entry]:
    def find(kid: bytes) -> Entry:
        for entry in entries:
            if entry.kid == kid:
                return entry
        raise NotFound("There is no such credential.")

    return find


def get(path: str, *, observe: bytes | None = None) -> CoapMessage:
    message = CoapMessage(codes.GET, options=path_options(path))
    return message if observe is None else message.with_options((OBSERVE, observe))


def put(path: str, payload: bytes) -> CoapMessage:
    return CoapMessage(codes.PUT, options=path_options(path), payload=payload)


def content(payload: bytes) -> CoapMessage:
    return CoapMessage(codes.CONTENT, payload=payload)


def untouched(data: bytes) -> Iterable[bytes]:
    return (data,)


@dataclass
class Pair:
    """An app and a device. `to_device` and `to_app` see each message and say what arrives in its place."""

    app: Channel
    device: Channel
    now: float = NOW
    app_events: list[Event] = field(default_factory=list)
    device_events: list[Event] = field(default_factory=list)
    to_device: Tamper = untouched
    to_app: Tamper = untouched
    answer: Callable[[RequestReceived], CoapMessage | None] = lambda request: content(b"answer")
    executed: list[CoapMessage] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, *entries: Entry, seed: int = 0, **responder: object) -> "Pair":
        source = random.Random(seed)
        app = Channel.initiator(APP_KEY, DEVICE_KEY.credential, random=source.randbytes)
        find = listing(*(entries or (owner(),)))
        device = Channel.responder(DEVICE_KEY, find, random=source.randbytes, **responder)
        return cls(app, device)

    def run(self, rounds: int = 400) -> "Pair":
        """Carry messages until nothing more is to be said; time stands still."""
        if (self.app.next_timeout() or 0.0) <= self.now:
            self.app.handle_timeout(self.now)
        for _ in range(rounds):
            moved = self.carry(self.app, self.device, self.to_device) + self.carry(self.device, self.app, self.to_app)
            self.notice()
            if not moved:
                return self
        raise AssertionError("the two never fall silent")

    def carry(self, source: Channel, target: Channel, tamper: Tamper) -> int:
        messages = source.drain()
        for message in messages:
            data = stream.encode(message)
            self.sent.append(data)
            for arrives in tamper(data):
                target.receive(stream.decode(arrives), self.now)
        return len(messages)

    def notice(self) -> None:
        self.app_events += self.app.events()
        for event in self.device.events():
            self.device_events.append(event)
            if isinstance(event, RequestReceived):
                self.executed.append(event.message)
                answer = self.answer(event)
                if answer is not None:
                    self.device.respond(event.handle, answer)

    def wait(self, seconds: float) -> "Pair":
        self.now += seconds
        self.app.handle_timeout(self.now)
        self.device.handle_timeout(self.now)
        return self.run()

    def ask(self, message: CoapMessage, timeout_s: float = 30.0) -> int:
        return self.app.request(message, self.now, timeout_s=timeout_s)

    def answers(self, handle: int) -> list[CoapMessage]:
        return [e.message for e in self.app_events if isinstance(e, ResponseReceived) and e.handle == handle]

    def failures(self, handle: int) -> list[Exception]:
        return [e.error for e in self.app_events if isinstance(e, RequestFailed) and e.handle == handle]
