import asyncio
import socket
import ssl
import time
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from admittance.demo.ports import free_ports
from admittance.server.keys import certificates
from admittance.server.keystore import Authority
from admittance.server.listeners import Listener
from admittance.server.tls import OwnCertificate, server_context
from admittance.server.whole import BODY_HERE, _head
from tests.unit.server.serving import exchange, listening

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
Headers = list[tuple[bytes, bytes]]


class Site:
    """A people listener of one application."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        key, now = certificates.new_key(), time.time()
        anchor = Authority(key, certificates.certificate_authority(key, "anchor", now))
        certificate = OwnCertificate(folder / "tls.pem", ("localhost",), anchor)
        certificate.refresh(now)
        self._context = server_context()
        certificate.load(self._context)
        self.trusting = ssl.create_default_context(cadata=anchor.certificate_pem.decode())

    def of(self, application: ASGIApp) -> Listener:
        return Listener("people", f"127.0.0.1:{self.port}", application, self._context)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def answering(headers: Headers, *parts: bytes) -> ASGIApp:
    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})

    return application


async def test_head_and_body_are_one_record(site: Site) -> None:
    def first_record() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", site.port)) as plain,
            site.trusting.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            secured.sendall(GET)
            return secured.recv(65536)

    async with listening(site.of(answering([(b"content-length", b"4")], b"body"))):
        record = await asyncio.to_thread(first_record)
    assert record.startswith(b"HTTP/1.1 200 OK\r\n")
    assert record.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"4")],
        [(b"Content-Length", b"4")],
        [(b"content-length", b"4"), (b"x-note", "é".encode("latin-1"))],
    ],
)
async def test_answers_keep_the_connection(site: Site, headers: Headers) -> None:
    async with listening(site.of(answering(headers, b"body"))):
        answer = await exchange(site.port, site.trusting, GET + LAST)
    assert answer.count(b"\r\n\r\nbody") == 2
    assert answer.count(b"connection: close") == 1


async def test_answer_that_ends_the_connection_ends_it(site: Site) -> None:
    async with listening(site.of(answering([(b"content-length", b"4"), (b"connection", b"close")], b"body"))):
        answer = await exchange(site.port, site.trusting, GET + GET)
    assert answer.count(b"body") == 1


async def test_answer_in_parts_arrives_in_parts(site: Site) -> None:
    async with listening(site.of(answering([], b"one", b"two"))):
        answer = await exchange(site.port, site.trusting, LAST)
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_answer_to_head_has_no_body(site: Site) -> None:
    async with listening(site.of(answering([(b"content-length", b"4")], b"body"))):
        answer = await exchange(site.port, site.trusting, LAST.replace(b"GET", b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("header", [(b"location", b"/\r\nset-cookie: a=b"), (b"x\r\ny", b"z"), (b"x y", b"z")])
async def test_header_that_would_split_the_answer_is_not_sent(site: Site, header: tuple[bytes, bytes]) -> None:
    async with listening(site.of(answering([(b"content-length", b"4"), header], b"body"))):
        answer = await exchange(site.port, site.trusting, LAST)
    assert b"set-cookie" not in answer
    assert b"body" not in answer


@pytest.mark.parametrize("length", [b"3", b"5"])
async def test_content_length_that_is_not_the_bodys_ends_the_connection(site: Site, length: bytes) -> None:
    async with listening(site.of(answering([(b"content-length", length)], b"body"))):
        answer = await exchange(site.port, site.trusting, GET + GET)
    assert answer.count(b"HTTP/1.1 200 OK") == 1


async def test_head_without_a_body_goes_out_when_the_application_crashes(site: Site) -> None:
    async def crashing(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        raise RuntimeError

    async with listening(site.of(crashing)):
        answer = await exchange(site.port, site.trusting, LAST)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


async def test_scope_holds_the_body_that_is_here(site: Site) -> None:
    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        body = scope["extensions"].get(BODY_HERE, b"....")
        await answering([(b"content-length", b"4"), (b"connection", b"close")], body)(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n"
    async with listening(site.of(telling)):
        whole = await exchange(site.port, site.trusting, head + b"body")
        begun = await exchange(site.port, site.trusting, head + b"bo")
    assert (whole[-4:], begun[-4:]) == (b"body", b"....")


async def test_no_secret_of_a_head_is_kept(site: Site) -> None:
    kept = _head.cache_info().currsize
    for name in (b"set-cookie", b"location"):
        async with listening(site.of(answering([(b"content-length", b"4"), (name, b"hunter2")], b"body"))):
            answer = await exchange(site.port, site.trusting, LAST)
        assert b"hunter2" in answer
    assert _head.cache_info().currsize == kept
