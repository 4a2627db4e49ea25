import asyncio
import contextlib
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from admittance.demo.ports import free_ports
from admittance.errors import ConfigurationError
from admittance.server import listeners, protocol
from admittance.server.keys import certificates
from admittance.server.keys.file import create_secret
from admittance.server.keystore import Authority
from admittance.server.listeners import STOP_TIMEOUT_S, Listener, Listeners
from admittance.server.tls import (
    GivenCertificate,
    OwnCertificate,
    client_certificate,
    device_context,
    server_context,
)
from tests.unit.server.serving import exchange, listening

NOW = 1_795_000_000.0
GET = b"GET /tls HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def authority(name: str, now: float = NOW) -> Authority:
    key = certificates.new_key()
    return Authority(key, certificates.certificate_authority(key, name, now))


@pytest.fixture(scope="module")
def now() -> float:
    return time.time()


@pytest.fixture(scope="module")
def anchor(now: float) -> Authority:
    return authority("anchor", now)


@pytest.fixture(scope="module")
def issuing(now: float) -> Authority:
    return authority("issuing", now)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def secured(tmp_path: Path, anchor: Authority, now: float) -> OwnCertificate:
    certificate = OwnCertificate(tmp_path / "tls.pem", ("localhost",), anchor)
    certificate.refresh(now)
    return certificate


def trusting(anchor: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=anchor.certificate_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def with_certificate(context: ssl.SSLContext, issuer: Authority, folder: Path, now: float) -> bytes:
    key = certificates.new_key()
    leaf = certificates.signer_certificate(key.public_key(), "device", issuer.certificate, issuer.key, now)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "client.pem").write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
    context.load_cert_chain(folder / "client.pem")
    return leaf.public_bytes(serialization.Encoding.DER)


async def show_tls(request: Request) -> Response:
    shown = dict(request.scope["extensions"]["tls"])
    certificate = client_certificate(request.scope)
    return JSONResponse(shown | {"client": certificate.hex() if certificate else None})


async def read_body(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def ignore_body(_request: Request) -> Response:
    return JSONResponse("done")


def application() -> Any:
    return Starlette(
        routes=[
            Route("/tls", show_tls),
            Route("/read", read_body, methods=["POST"]),
            Route("/ignore", ignore_body, methods=["POST"]),
        ]
    )


def people(port: int, certificate: OwnCertificate) -> Listener:
    context = server_context()
    certificate.load(context)
    return Listener("people", f"127.0.0.1:{port}", application(), context)


def device(port: int, certificate: OwnCertificate, issuing: Authority) -> Listener:
    context = device_context(issuing.certificate)
    certificate.load(context)
    return Listener("device", f"127.0.0.1:{port}", application(), context)


async def test_scope_tells_that_there_is_no_client_certificate(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    async with listening(people(port, secured)):
        answer = await exchange(port, trusting(anchor), GET)
    shown = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (shown["client"], shown["client_cert_chain"]) == (None, [])
    assert shown["tls_version"] == 0x0304


async def test_scope_holds_the_clients_certificate_on_every_request(
    port: int, secured: OwnCertificate, anchor: Authority, issuing: Authority, tmp_path: Path, now: float
) -> None:
    context = trusting(anchor)
    expected = with_certificate(context, issuing, tmp_path, now)
    async with listening(device(port, secured, issuing)):
        answer = await exchange(port, context, GET.replace(b"connection: close\r\n", b"") + GET)
    bodies = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert [body["client"] for body in bodies] == [expected.hex()] * 2
    assert bodies[0]["client_cert_name"] == "CN=device"


async def test_device_listener_refuses_no_certificate_and_another_cas(
    port: int, secured: OwnCertificate, anchor: Authority, issuing: Authority, tmp_path: Path, now: float
) -> None:
    strangers = trusting(anchor)
    with_certificate(strangers, authority("issuing", now), tmp_path, now)
    answers: list[bytes] = []
    async with listening(device(port, secured, issuing)):
        for context in (trusting(anchor), strangers):
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                answers.append(await exchange(port, context, GET))
    assert b"".join(answers) == b""


async def test_device_listener_takes_tls_1_2_and_nothing_older(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    async with listening(people(port, secured)):
        context = trusting(anchor)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        shown = json.loads((await exchange(port, context, GET)).partition(b"\r\n\r\n")[2])
        assert shown["tls_version"] == 0x0303
    assert server_context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_giant_head_is_refused(port: int, secured: OwnCertificate, anchor: Authority) -> None:
    async with listening(people(port, secured)):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting(anchor), server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        for _ in range(protocol.MAX_HEAD_BYTES // 1024 + 1):
            writer.write(b"y" * 1024)
            await writer.drain()
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: loc"])
async def test_head_that_never_ends_is_given_up(
    port: int, secured: OwnCertificate, anchor: Authority, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    async with listening(people(port, secured)):
        assert await exchange(port, trusting(anchor), sent) == b""


async def test_second_head_that_never_ends_is_given_up(
    port: int, secured: OwnCertificate, anchor: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    async with listening(people(port, secured)):
        first = GET.replace(b"connection: close\r\n", b"")
        answer = await exchange(port, trusting(anchor), first + b"GET / HTTP/1.1\r\nhos")
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_line_ends_do_not_hold_an_idle_connection(
    port: int, secured: OwnCertificate, anchor: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "KEEP_ALIVE_S", 0.2)
    async with listening(people(port, secured)), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting(anchor), server_hostname="localhost"
        )
        writer.write(GET.replace(b"connection: close\r\n", b""))
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"\r\n")
            await asyncio.sleep(0.02)
        assert (await answer).count(b"HTTP/1.1 200") == 1
        writer.close()


async def test_answer_does_not_cut_off_the_next_request(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    post = b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n"
    async with listening(people(port, secured)), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting(anchor), server_hostname="localhost"
        )
        writer.write(post + b"body" + post.replace(b"localhost", b"localhost\r\nconnection: close") + b"bo")
        await reader.readuntil(b"\r\n\r\n4")
        writer.write(b"dy")
        assert (await reader.read()).endswith(b"\r\n\r\n4")
        writer.close()


async def test_body_that_reading_pauses_for_is_read_to_its_end(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    async with listening(people(port, secured)):
        head = b"POST /read HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n"
        answer = await exchange(port, trusting(anchor), head + bytes(1_000_000))
    assert answer.endswith(b"\r\n\r\n1000000")


async def test_connection_ends_after_a_body_that_nobody_reads(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    async with listening(people(port, secured)):
        head = b"POST /ignore HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"
        assert b'"done"' in await exchange(port, trusting(anchor), head)


async def test_request_under_way_is_answered_while_the_server_stops(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    served = Listeners([people(port, secured)])
    await served.start()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusting(anchor), server_hostname="localhost"
    )
    writer.write(b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nab")
    await writer.drain()
    while not any(server.server_state.tasks for server in served._servers):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(served.stop())
    await asyncio.sleep(0)
    writer.write(b"cd")
    answer = await reader.read()
    writer.close()
    await stopping
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"4")


async def test_a_client_that_never_says_goodbye_does_not_hold_up_the_end(
    port: int, secured: OwnCertificate, anchor: Authority
) -> None:
    def connect() -> ssl.SSLSocket:
        return trusting(anchor).wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"
        )

    served = Listeners([people(port, secured)])
    await served.start()
    with await asyncio.to_thread(connect) as unused, await asyncio.to_thread(connect) as idle:
        await asyncio.to_thread(idle.sendall, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.to_thread(idle.recv, 1)
        async with asyncio.timeout(STOP_TIMEOUT_S * 0.8):
            await served.stop()
        assert unused.fileno() > 0


def test_address_in_use_is_named(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigurationError) as caught:
        Listeners([Listener("people", f"127.0.0.1:{port}", None, server_context())])
    message = f"[listen] people: can't listen on 127.0.0.1:{port}: another program listens there already"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("address", "expected"),
    [("192.0.2.1:8443", "does not have that address"), ("no-such-host.invalid:1", "is no address of this machine")],
)
def test_bad_addresses_are_named(address: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        Listeners([Listener("device", address, None, server_context())])


def test_own_certificate_is_renewed_in_time_only(tmp_path: Path, anchor: Authority, now: float) -> None:
    path = tmp_path / "tls.pem"
    certificate = OwnCertificate(path, ("localhost", "127.0.0.1"), anchor)
    day = 86_400
    assert certificate.refresh(now)
    first = path.read_bytes()
    assert not certificate.refresh(now + 59 * day)
    assert path.read_bytes() == first
    assert certificate.refresh(now + 61 * day)
    assert path.read_bytes() != first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hosts", [("elsewhere",), ("localhost", "elsewhere")])
def test_own_certificate_follows_the_hosts(
    tmp_path: Path, anchor: Authority, now: float, hosts: tuple[str, ...]
) -> None:
    path = tmp_path / "tls.pem"
    OwnCertificate(path, ("localhost",), anchor).refresh(now)
    assert OwnCertificate(path, hosts, anchor).refresh(now)


def test_own_certificate_follows_its_ca_and_replaces_garbage(tmp_path: Path, anchor: Authority, now: float) -> None:
    path = tmp_path / "tls.pem"
    OwnCertificate(path, ("localhost",), authority("other", now)).refresh(now)
    assert OwnCertificate(path, ("localhost",), anchor).refresh(now)
    path.write_bytes(b"garbage")
    assert OwnCertificate(path, ("localhost",), anchor).refresh(now)
    x509.load_pem_x509_certificate(path.read_bytes())


def test_given_certificate_is_taken_up_when_it_changes(tmp_path: Path, anchor: Authority, now: float) -> None:
    path = tmp_path / "given.pem"
    OwnCertificate(path, ("localhost",), anchor).refresh(now)
    given = GivenCertificate(path, path)
    assert given.refresh(now)
    assert not given.refresh(now)
    path.unlink()
    OwnCertificate(path, ("localhost",), anchor).refresh(now)
    assert given.refresh(now)


def test_given_certificate_that_is_unfit_is_named(tmp_path: Path) -> None:
    given = GivenCertificate(tmp_path / "missing.pem", tmp_path / "missing.key")
    with pytest.raises(ConfigurationError, match=r"missing\.pem"):
        given.refresh(0)
    create_secret(tmp_path / "bad.pem", b"garbage")
    with pytest.raises(ConfigurationError, match=r"bad\.pem"):
        GivenCertificate(tmp_path / "bad.pem", tmp_path / "bad.pem").load(server_context())
    (tmp_path / "bad.pem").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        GivenCertificate(tmp_path / "bad.pem", tmp_path / "bad.pem").load(server_context())
