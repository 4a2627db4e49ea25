"""A channel over UDP's message layer and a network that loses, doubles, delays and reorders."""

import heapq
import random
from dataclasses import dataclass, field

import pytest

from admittance.protocol.channel.channel import Channel, Event, RequestFailed, RequestReceived, ResponseReceived
from admittance.protocol.coap.reliability import DatagramEndpoint, MessageReceived
from admittance.wire.coap.message import CoapMessage
from tests.unit.protocol.channel.channel_world import APP_KEY, DEVICE_KEY, content, get, listing, owner, put

LINK_S = 0.02


@dataclass
class Host:
    channel: Channel
    endpoint: DatagramEndpoint
    events: list[Event] = field(default_factory=list)
    done: list[CoapMessage] = field(default_factory=list)

    def settle(self, now: float) -> list[bytes]:
        """Let both layers do what is due; the datagrams to send."""
        self.endpoint.handle_timeout(now)
        self.channel.handle_timeout(now)
        for event in self.endpoint.events():
            if isinstance(event, MessageReceived):
                self.channel.receive(event.message, now)
        for event in self.channel.events():
            self.events.append(event)
            if isinstance(event, RequestReceived):
                self.done.append(event.message)
                self.channel.respond(event.handle, content(event.message.payload[::-1]))
        for message in self.channel.drain():
            self.endpoint.send(message, "peer", now)
        return [data for data, _ in self.endpoint.drain()]


class Network:
    def __init__(self, seed: int, loss: float) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 100.0
        source = random.Random(seed + 1)
        app = Channel.initiator(APP_KEY, DEVICE_KEY.credential, random=source.randbytes, datagrams=True)
        device = Channel.responder(DEVICE_KEY, listing(owner()), random=source.randbytes, datagrams=True)
        self.app = Host(app, DatagramEndpoint(source.randbytes))
        self.device = Host(device, DatagramEndpoint(source.randbytes))
        self._flying: list[tuple[float, int, bytes, Host]] = []
        self._count = 0

    def run(self, seconds: float, step: float = 0.05) -> None:
        end = self.now + seconds
        while self.now < end:
            for source, target in ((self.app, self.device), (self.device, self.app)):
                for data in source.settle(self.now):
                    self._send(data, target)
            self.now += step
            while self._flying and self._flying[0][0] <= self.now:
                _, _, data, target = heapq.heappop(self._flying)
                target.endpoint.receive(data, "peer", self.now)

    def _send(self, data: bytes, target: Host) -> None:
        copies = 0 if self.random.random() < self.loss else 1 + (self.random.random() < self.loss)
        for _ in range(copies):
            self._count += 1
            arrives = self.now + LINK_S + self.random.random() * 10 * LINK_S
            heapq.heappush(self._flying, (arrives, self._count, data, target))


@pytest.mark.parametrize("seed", range(6))
def test_each_request_is_carried_out_once_at_most_whatever_the_network_does(seed: int) -> None:
    network = Network(seed, loss=0.15)
    bodies = [bytes((number,)) * (10 if number else 3000) for number in range(8)]
    handles = [
        network.app.channel.request(put(f"/{number}", body), network.now, timeout_s=60)
        for number, body in enumerate(bodies)
    ]
    network.run(70)
    answers = {e.handle: e.message.payload for e in network.app.events if isinstance(e, ResponseReceived)}
    failed = {e.handle for e in network.app.events if isinstance(e, RequestFailed)}
    assert answers.keys() | failed == set(handles)
    assert not answers.keys() & failed
    assert all(
        answers[handle] == body[::-1] for handle, body in zip(handles, bodies, strict=True) if handle in answers
    )
    done = [message.payload for message in network.device.done]
    assert len(done) == len(set(done))
    assert len(answers) >= len(handles) // 2


def test_on_a_clean_network_everything_arrives() -> None:
    network = Network(0, loss=0.0)
    handles = [network.app.channel.request(get(f"/{number}"), network.now) for number in range(40)]
    network.run(20)
    assert sorted(e.handle for e in network.app.events if isinstance(e, ResponseReceived)) == handles
    assert len(network.device.done) == 40
