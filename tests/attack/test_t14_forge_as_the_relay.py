"""T14. Means: as in `test_t14_be_the_relay.py`; here the attacker makes up what he sends: frames that are none,
handshakes of his own in the name of app or device, messages without protection. Goal: the same.
"""

import asyncio
import os
from collections.abc import Callable

import pytest

from admittance.errors import AuthenticationFailed
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.channel.events import Ended, Established
from admittance.protocol.channel.opening import MAX_ATTEMPTS
from admittance.protocol.channel.oscore import SecurityContext, oscore_option
from admittance.wire import relay
from admittance.wire.channel import Entry
from admittance.wire.coap import codes, options, stream
from admittance.wire.relay import CloseCode
from tests.attack.channel_site import ChannelSite
from tests.attack.meddling import (
    HANDSHAKE,
    TO_DEVICE,
    Detour,
    FalseKey,
    Lie,
    PoseAsDevice,
    forged,
    own_key,
    talk_as,
)


@pytest.fixture
def site(relayed: ChannelSite) -> ChannelSite:
    return relayed


FRAMES: dict[str, Callable[[int], bytes]] = {
    "cut": lambda number: relay.data_frame(number, b"a fragment", final=True)[:-1],
    "extended": lambda number: relay.data_frame(number, b"a fragment", final=True) + b"\0",
    "without credit": lambda number: relay.data_frame(number, b"a part", final=False) * (relay.INITIAL_CREDIT + 1),
}


@pytest.mark.parametrize("kind", FRAMES)
async def test_a_relay_that_sends_frames_that_are_none(site: ChannelSite, kind: str) -> None:
    """The device hangs up on it, and comes back."""
    device = site.first if kind == "extended" else site.second
    connection, connected = site.relay.device(device.device_id), len(device.events("relay_connected"))
    async with site.talk(device=device) as talk:
        assert await talk.order(timeout_s=10)
        connection.inject(FRAMES[kind](connection.open_stream().number))
        await talk.order()
    await device.told("relay_connected", connected + 1)
    assert connection.closed_with == CloseCode.MALFORMED
    async with site.talk(device=device) as talk:
        assert await talk.order(timeout_s=10)
    await site.assert_holds()


@pytest.mark.parametrize("under", ["a name of his own", "the owner's name"])
async def test_a_relay_that_poses_as_an_app(site: ChannelSite, under: str) -> None:
    own = ChannelKey(own_key()) if under == "a name of his own" else FalseKey(site.owner_credential)
    established = len(site.first.events("channel_established"))
    opened = site.relay.device(site.first.device_id).open_stream()
    happened = await talk_as(own, site.first_credential, opened, forged())
    assert not any(isinstance(event, Established) for event in happened)
    assert isinstance(happened[-1], Ended)
    assert isinstance(happened[-1].error, AuthenticationFailed)
    assert len(site.first.events("channel_established")) == established
    await site.assert_holds()


async def test_a_relay_that_orders_without_protection_or_under_keys_of_its_own(site: ChannelSite) -> None:
    """Into the owner's own stream: its connection ids are there for all to see."""
    async with site.talk() as talk:
        assert await talk.order(timeout_s=10)
        kid = oscore_option(stream.decode(talk.stream.going(TO_DEVICE)[-1])).kid
        assert kid is not None
        forger = SecurityContext.derive(os.urandom(16), sender_id=kid, recipient_id=b"me")
        for _ in range(8):
            protected, _ = forger.protect_request(forged())
            talk.stream.send(TO_DEVICE, stream.encode(forged()), stream.encode(protected))
        assert await talk.order(timeout_s=10)
    await site.assert_holds()


@pytest.mark.parametrize("under", ["a name of his own", "the device's name"])
async def test_a_relay_that_poses_as_the_device(site: ChannelSite, under: str) -> None:
    own = ChannelKey(own_key()) if under == "a name of his own" else FalseKey(site.first_credential)
    app = Entry(site.owner_credential.spki, b"", "owner", 1, "phone", 0, ())
    pose = PoseAsDevice(own, app, b"forged")
    with pytest.raises(AuthenticationFailed):
        async with site.talk(pose):
            pass
    assert pose.asked == MAX_ATTEMPTS, "The app says no more after the message_2 of another."
    await site.assert_holds()


async def test_a_relay_that_shows_another_device_of_the_owner(site: ChannelSite) -> None:
    second = Detour(site.relay.device(site.second.device_id).open_stream())
    with pytest.raises(AuthenticationFailed):
        async with site.talk(second):
            pass
    assert second.carried
    await site.assert_holds()


async def test_a_relay_that_answers_without_protection(site: ChannelSite) -> None:
    """Neither content nor a refusal is believed. Who asks the app again and again to prove itself does not have it
    make one handshake after the other."""
    lie = Lie()
    async with site.talk(lie) as talk:
        assert await talk.order(timeout_s=10)
        for lie.codes in ((codes.CONTENT, codes.CHANGED, codes.FORBIDDEN), (codes.UNAUTHORIZED,) * 4):
            assert not any(await asyncio.gather(talk.order(), talk.look()))
        lie.codes = ()
        assert await talk.order(timeout_s=10)
        asked = map(stream.decode, talk.stream.going(TO_DEVICE))
        assert sum(message.option(options.OSCORE) is None for message in asked) == HANDSHAKE
    await site.assert_holds()
