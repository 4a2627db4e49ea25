import asyncio
import socket

import pytest
from wsproto.events import Ping

from admittance.errors import Misuse, QuotaExceeded, WebSocketClosed
from admittance.protocol.relay.device_mux import StreamClosed, StreamMessage, StreamOpened
from admittance.server.relay.transports import SMALL_BIO_BYTES, shrink_buffers
from admittance.wire import relay
from admittance.wire.relay import CloseCode, CloseReason
from tests.unit.server.relay.relay_world import DeviceEnd, Enrolled, Login, Site, coap, until


async def test_a_message_goes_to_the_device_and_another_comes_back(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    asked, answered = coap(), coap()
    await phone.send(asked)
    assert await device.event() == StreamOpened(1)
    assert await device.event() == StreamMessage(1, asked)
    await device.send(1, answered)
    assert await phone.receive() == answered


@pytest.mark.parametrize("size", [1, 125, 126, 8192, 8193, 65535, 65536])
async def test_messages_of_every_size_arrive_whole(site: Site, app: Login, lamp: Enrolled, size: int) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    asked = coap(size)
    await phone.send(asked)
    await device.event()
    assert await device.event() == StreamMessage(1, asked)
    await device.send(1, asked)
    assert await phone.receive() == asked


async def test_many_messages_arrive_once_and_in_order_both_ways(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    messages = [coap(number % 300) for number in range(300)]

    async def echo() -> None:
        while True:
            event = await device.event()
            if isinstance(event, StreamMessage):
                await device.send(event.stream, event.data)

    async def ask() -> None:
        for each in messages:
            await phone.send(each)

    working = [asyncio.create_task(echo()), asyncio.create_task(ask())]
    assert [await phone.receive() for _ in messages] == messages
    for each in working:
        each.cancel()


async def test_a_message_with_a_ping_behind_it_does_not_wait(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    assert await device.event() == StreamOpened(1)
    asked = coap()
    await device.send_with(Ping(), relay.data_frame(1, asked, final=True))
    async with asyncio.timeout(1):
        assert await phone.receive() == asked


async def test_streams_of_apps_do_not_mix(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phones = [await site.app(app, lamp.device_id) for _ in range(5)]
    for number, phone in enumerate(phones):
        await phone.send(bytes((number,)))
    seen: dict[int, bytes] = {}
    while len(seen) < 5:
        event = await device.event()
        if isinstance(event, StreamMessage):
            seen[event.stream] = event.data
    for stream, data in seen.items():
        await device.send(stream, data * 2)
    assert [await phone.receive() for phone in phones] == [bytes((number,)) * 2 for number in range(5)]


async def test_an_app_that_leaves_ends_its_stream(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    assert await device.event() == StreamOpened(1)
    await phone.close()
    assert await device.event() == StreamClosed(1, CloseReason.NORMAL)
    await until(lambda: site.node.apps == 0)


async def test_an_app_that_is_cut_off_ends_its_stream(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    assert await device.event() == StreamOpened(1)
    phone.abort()
    assert await device.event() == StreamClosed(1, CloseReason.NORMAL)


@pytest.mark.parametrize(("reason", "code"), [(CloseReason.NORMAL, 1000), (CloseReason.QUOTA, CloseCode.QUOTA)])
async def test_a_device_that_closes_a_stream_ends_the_app(
    site: Site, app: Login, lamp: Enrolled, reason: CloseReason, code: int
) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    await device.send(1, b"last words")
    await device.close(1, reason)
    assert await phone.receive() == b"last words"
    with pytest.raises(WebSocketClosed) as closed:
        await phone.receive()
    assert closed.value.close_code == code


async def test_a_device_that_is_cut_off_ends_its_apps(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    device.socket.abort()
    with pytest.raises(WebSocketClosed) as closed:
        await phone.receive()
    assert closed.value.close_code == CloseCode.OFFLINE
    assert site.node.devices == 0


async def test_without_its_device_an_app_is_told_that_it_is_offline(site: Site, app: Login, lamp: Enrolled) -> None:
    phone = await site.app(app, lamp.device_id)
    with pytest.raises(WebSocketClosed) as closed:
        await phone.receive()
    assert closed.value.close_code == CloseCode.OFFLINE


async def test_the_newer_connection_of_a_device_wins(site: Site, app: Login, lamp: Enrolled) -> None:
    old = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await old.event()
    new = await site.device(lamp)
    for ended in (old.socket, phone):
        with pytest.raises(WebSocketClosed) as closed:
            await ended.receive()
        assert closed.value.close_code == CloseCode.SUPERSEDED
    await (await site.app(app, lamp.device_id)).send(b"hello")
    assert await new.event() == StreamOpened(1)


async def test_messages_that_are_sent_with_the_upgrade_are_not_lost(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    for number in range(20):
        await phone.send(bytes((number,)))
    assert await device.event() == StreamOpened(1)
    assert [await device.event() for _ in range(20)] == [StreamMessage(1, bytes((number,))) for number in range(20)]


async def test_an_app_that_reads_nothing_makes_the_device_wait_for_it_and_for_no_other(
    site: Site, app: Login, lamp: Enrolled
) -> None:
    device = await site.device(lamp)
    slow, quick = await site.app(app, lamp.device_id), await site.app(app, lamp.device_id)
    await device.event()
    await device.event()
    serving = asyncio.create_task(_serve(device))
    sent = await _send_until_full(device, 1)
    await device.send(2, b"quick")
    assert await quick.receive() == b"quick"
    for each in sent:
        assert await slow.receive() == each
    serving.cancel()


async def test_a_device_that_takes_nothing_makes_its_app_wait(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    for number in range(200):
        await phone.send(number.to_bytes(2))
    await until(lambda: site.node.counters.to_devices > 0)
    await asyncio.sleep(0.1)
    sent: list[int] = []
    while len(sent) < 200:
        event = await device.event()
        if isinstance(event, StreamMessage):
            sent.append(int.from_bytes(event.data))
    assert sent == list(range(200))


async def _send_until_full(device: DeviceEnd, stream: int) -> list[bytes]:
    """Send large messages until the other side has taken nothing for a while."""
    sent: list[bytes] = []
    while True:
        message = coap(relay.MAX_MESSAGE_BYTES)
        for _ in range(20):
            try:
                await device.send(stream, message)
            except QuotaExceeded:
                await asyncio.sleep(0.02)
            else:
                sent.append(message)
                break
        else:
            return sent


async def _serve(device: DeviceEnd) -> None:
    while True:
        await device.event()


async def test_what_came_before_an_app_had_to_wait_is_not_forgotten(site: Site, app: Login, lamp: Enrolled) -> None:
    device = await site.device(lamp)
    phone = await site.app(app, lamp.device_id)
    await device.event()
    connection = phone._writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    messages = [coap(1) for _ in range(40)] + [coap(900) for _ in range(3)]
    for each in messages:
        await phone.send(each)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    async with asyncio.timeout(10):
        assert [await device.event() for _ in messages] == [StreamMessage(1, each) for each in messages]


async def test_aiofastnet_has_its_buffers_where_they_are_made_smaller(site: Site) -> None:
    for server in site.services.listeners._servers:
        assert vars(server)["_ssl_incoming_bio_size"] == SMALL_BIO_BYTES
        assert vars(server)["_ssl_outgoing_bio_size"] == SMALL_BIO_BYTES
    with pytest.raises(Misuse):
        shrink_buffers(object())
