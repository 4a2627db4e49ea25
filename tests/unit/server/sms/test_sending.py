"""From the outbox to a gateway, which is a real HTTP server here."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from admittance.errors import ConfigurationError, Unavailable
from admittance.server.database import Database
from admittance.server.keys.envelope import Envelope
from admittance.server.keystore import open_keystore
from admittance.server.outbox import Rejected
from admittance.server.sms.http import HttpGateway, HttpProvider
from admittance.server.sms.outbox import SmsOutbox
from admittance.server.sms.port import Sms
from admittance.server.sms.providers import SmsSettings, provider_for
from admittance.server.sms.sender import SCHEDULE, sms_sender
from admittance.server.sms.store import outbox
from tests.device_world import START, SetClock

NUMBER, TEXT = "+491701234567", "Admittance: 12345678 is your code."


class Provider:
    """Fails as told, then takes everything."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Sms] = []

    async def send(self, sms: Sms) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(sms)


class Post:
    def __init__(self, database: Database, folder: Path, *failures: Exception) -> None:
        self.clock = SetClock()
        self.database = database
        self.outbox = SmsOutbox(Envelope(open_keystore(folder / "keys", now=START).key_encryption))
        self.provider = Provider(*failures)
        self.sender = sms_sender(database=database, clock=self.clock, outbox=self.outbox, provider=self.provider)

    async def write(self) -> str:
        async with self.database.transaction() as connection:
            return await self.outbox.enqueue(connection, NUMBER, TEXT, self.clock())

    async def states(self) -> list[tuple[str, bytes]]:
        async with self.database.read() as connection:
            return [(row.state, row.sealed) for row in await connection.execute(select(outbox))]


async def test_a_message_is_sent_once_and_then_forgotten(database: Database, tmp_path: Path) -> None:
    post = Post(database, tmp_path)
    sms_id = await post.write()
    [(_, sealed)] = await post.states()
    assert NUMBER.encode() not in sealed
    assert b"12345678" not in sealed
    assert await post.sender.send_next()
    assert not await post.sender.send_next()
    assert [(sms.sms_id, sms.number, sms.text) for sms in post.provider.taken] == [(sms_id, NUMBER, TEXT)]
    assert await post.states() == [("sent", b"")]


async def test_a_gateway_that_is_away_is_tried_again(database: Database, tmp_path: Path) -> None:
    post = Post(database, tmp_path, Unavailable("away"), Unavailable("away"))
    await post.write()
    for _ in range(3):
        assert await post.sender.send_next()
        assert not await post.sender.send_next()
        post.clock.pass_s(10)
    assert len(post.provider.taken) == 1


async def test_a_message_is_given_up_with_its_code(database: Database, tmp_path: Path) -> None:
    post = Post(database, tmp_path, *(Unavailable("away") for _ in range(2)))
    await post.write()
    await post.sender.send_next()
    post.clock.pass_s(SCHEDULE.give_up_s)
    await post.sender.send_next()
    assert await post.states() == [("failed", b"")]


async def test_a_refused_message_is_not_tried_again(sqlite_database: Database, tmp_path: Path) -> None:
    post = Post(sqlite_database, tmp_path, Rejected("no such number"))
    await post.write()
    await post.sender.send_next()
    assert await post.states() == [("failed", b"")]


@asynccontextmanager
async def gateway(status: int) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], dict[str, str]]]]]:
    """An HTTP server that answers everything with `status`; its URL, and the headers and bodies it got."""
    got: list[tuple[dict[str, str], dict[str, str]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        got.append((headers, json.loads(body)))
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/send", got


async def test_the_http_provider_posts_json_with_its_token() -> None:
    async with gateway(202) as (url, got):
        await HttpProvider(HttpGateway(url, "a-token")).send(Sms("1", NUMBER, TEXT))
    [(headers, body)] = got
    assert headers["authorization"] == "Bearer a-token"
    assert headers["idempotency-key"] == "1"
    assert body == {"id": "1", "to": NUMBER, "text": TEXT}


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Rejected), (401, Rejected), (429, Unavailable), (500, Unavailable), (302, Unavailable)],
)
async def test_what_the_gateway_answers_decides_on_another_try(status: int, error: type[Exception]) -> None:
    async with gateway(status) as (url, _):
        with pytest.raises(error) as raised:
            await HttpProvider(HttpGateway(url, "a-token")).send(Sms("1", NUMBER, TEXT))
    assert not any(secret in str(raised.value) for secret in ("a-token", NUMBER, "12345678"))


async def test_a_gateway_that_does_not_listen_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await HttpProvider(HttpGateway("http://127.0.0.1:9/", "a-token")).send(Sms("1", NUMBER, TEXT))


def test_the_registry_of_providers(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("a-token\n")
    assert provider_for("none", SmsSettings()) is None
    assert isinstance(provider_for("http", SmsSettings("https://sms.example", token)), HttpProvider)
    for name, settings in (
        ("pigeon", SmsSettings()),
        ("http", SmsSettings("https://sms.example")),
        ("http", SmsSettings("https://sms.example", token, tmp_path / "absent.pem")),
    ):
        with pytest.raises(ConfigurationError):
            provider_for(name, settings)
