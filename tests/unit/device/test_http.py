import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admittance.device.http import ClientCertificate, HttpsClient, tls_context
from admittance.device.radio.simulated import SimulatedRadio
from admittance.errors import ConfigurationError, Malformed, Misuse, NetworkFailure, Unreachable
from tests.premises_world import premises_server
from tests.tls_material import Authority, Leaf, server_context

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 2\r\n\r\nhi"


class Host:
    """A server that gives one canned answer and keeps what it was sent."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.port = 0
        self.received = b""
        self.client: bytes | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.received = await reader.readuntil(b"\r\n\r\n")
            for line in self.received.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    self.received += await reader.readexactly(int(line.partition(b":")[2]))
            tls = writer.get_extra_info("ssl_object")
            self.client = tls.getpeercert(binary_form=True) if tls else None
            writer.write(self._answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()


@asynccontextmanager
async def running(
    directory: Path, context: ssl.SSLContext | None, answer: bytes = OK
) -> AsyncIterator[tuple[Host, SimulatedRadio]]:
    """A TLS host behind the uplink of premises, and a radio that is on the network Home."""
    host = Host(answer)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=context)
    host.port = server.sockets[0].getsockname()[1]
    async with server, premises_server(directory, [f"localhost:{host.port}", f"127.0.0.1:{host.port}"]) as path:
        radio = await SimulatedRadio.attach(path, "device")
        await radio.join("Home", "correct horse")
        yield host, radio
        await radio.close()


@asynccontextmanager
async def talking(
    directory: Path, greeting: bytes, reached: asyncio.Event | None = None
) -> AsyncIterator[tuple[str, SimulatedRadio]]:
    """A host without TLS that sends `greeting` and then waits for the other end to hang up."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(greeting)
            if reached is not None:
                await reader.read(1)
                reached.set()
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint = f"localhost:{server.sockets[0].getsockname()[1]}"
    async with server, premises_server(directory, [endpoint]) as path:
        radio = await SimulatedRadio.attach(path, "device")
        await radio.join("Home", "correct horse")
        yield f"https://{endpoint}/", radio
        await radio.close()
        await ended.wait()


async def _cause(
    directory: Path,
    context: ssl.SSLContext | None,
    client: Callable[[SimulatedRadio], HttpsClient],
    answer: bytes = OK,
) -> str:
    async with running(directory, context, answer) as (host, radio):
        with pytest.raises(NetworkFailure) as failure:
            await client(radio).get(f"https://localhost:{host.port}/")
    return failure.value.cause


async def test_request_and_response_pass_over_the_radio(tmp_path: Path) -> None:
    authority = Authority("server")
    async with running(tmp_path, server_context(authority.issue(), tmp_path)) as (host, radio):
        client = HttpsClient(radio, (authority.certificate,))
        response = await client.post(f"https://localhost:{host.port}/a?b=c", b"body", "application/cbor")
        assert (response.status, response.body) == (200, b"hi")
        assert response.headers["content-type"] == "application/cbor"
        assert host.received.startswith(b"POST /a?b=c HTTP/1.1\r\n")
        assert host.received.endswith(b"\r\n\r\nbody")
        assert (await client.get(f"https://localhost:{host.port}")).status == 200
        assert host.received.startswith(b"GET / HTTP/1.1\r\n")


async def test_address_is_verified_like_a_name(tmp_path: Path) -> None:
    authority = Authority("server")
    async with running(tmp_path, server_context(authority.issue("127.0.0.1"), tmp_path)) as (host, radio):
        client = HttpsClient(radio, (authority.certificate,))
        assert (await client.get(f"https://127.0.0.1:{host.port}/")).body == b"hi"


async def test_certificate_of_another_authority_is_untrusted(tmp_path: Path) -> None:
    context = server_context(Authority("server").issue(), tmp_path)
    anchor = Authority("server").certificate
    assert await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (anchor,))) == "untrusted_server"


async def test_authority_of_the_system_is_untrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, pinned = Authority("system"), Authority("pinned")
    store = tmp_path / "store.pem"
    store.write_text(ssl.DER_cert_to_PEM_cert(system.certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    assert len(ssl.create_default_context().get_ca_certs()) == 1
    context = server_context(system.issue(), tmp_path)
    cause = await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (pinned.certificate,)))
    assert cause == "untrusted_server"


async def test_certificate_for_another_name_is_untrusted(tmp_path: Path) -> None:
    authority = Authority("server")
    context = server_context(authority.issue("example.org"), tmp_path)
    cause = await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (authority.certificate,)))
    assert cause == "untrusted_server"


async def test_expired_certificate_is_untrusted(tmp_path: Path) -> None:
    authority = Authority("server")
    context = server_context(authority.issue(from_days=-3, to_days=-1), tmp_path)
    cause = await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (authority.certificate,)))
    assert cause == "untrusted_server"


async def test_certificate_of_the_future_points_at_the_clock(tmp_path: Path) -> None:
    authority = Authority("server")
    context = server_context(authority.issue(from_days=1, to_days=2), tmp_path)
    cause = await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (authority.certificate,)))
    assert cause == "clock"


@pytest.mark.parametrize(("from_days", "to_days"), [(-3, -1), (1, 2)])
async def test_device_without_a_clock_ignores_validity_times(tmp_path: Path, from_days: int, to_days: int) -> None:
    authority = Authority("server")
    context = server_context(authority.issue(from_days=from_days, to_days=to_days), tmp_path)
    async with running(tmp_path, context) as (host, radio):
        client = HttpsClient(radio, (authority.certificate,), check_time=False)
        assert (await client.get(f"https://localhost:{host.port}/")).status == 200


async def test_device_without_a_clock_still_verifies_name_and_anchor(tmp_path: Path) -> None:
    authority, other = Authority("server"), Authority("other")
    for leaf, directory in ((authority.issue("example.org"), "name"), (other.issue(), "anchor")):
        (tmp_path / directory).mkdir()
        cause = await _cause(
            tmp_path / directory,
            server_context(leaf, tmp_path),
            lambda radio: HttpsClient(radio, (authority.certificate,), check_time=False),
        )
        assert cause == "untrusted_server"


async def test_client_certificate_reaches_the_server(tmp_path: Path) -> None:
    server, devices = Authority("server"), Authority("devices")
    leaf = devices.issue("device")
    context = server_context(server.issue(), tmp_path, client_anchor=devices.certificate)
    async with running(tmp_path, context) as (host, radio):
        certificate = ClientCertificate((leaf.certificate,), leaf.key_pem)
        client = HttpsClient(radio, (server.certificate,), client_certificate=certificate)
        assert (await client.get(f"https://localhost:{host.port}/")).status == 200
        assert host.client == leaf.certificate


@pytest.mark.parametrize("known", [True, False])
async def test_server_that_wants_another_client_certificate_has_refused(tmp_path: Path, known: bool) -> None:
    server, devices = Authority("server"), Authority("devices")
    context = server_context(server.issue(), tmp_path, client_anchor=devices.certificate)
    leaf: Leaf | None = Authority("stranger").issue("device") if known else None
    certificate = ClientCertificate((leaf.certificate,), leaf.key_pem) if leaf else None
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    refusing = asyncio.create_task(asyncio.to_thread(_refuse_with_alert, listener, context))
    async with premises_server(tmp_path, [f"localhost:{port}"]) as path:
        radio = await SimulatedRadio.attach(path, "device")
        await radio.join("Home", "correct horse")
        client = HttpsClient(radio, (server.certificate,), client_certificate=certificate)
        with pytest.raises(NetworkFailure) as failure:
            await client.get(f"https://localhost:{port}/")
        assert failure.value.cause == "server_refused"
        await refusing
        await radio.close()


def _refuse_with_alert(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Fail one handshake as OpenSSL does it, with an alert, and read what is left so that the alert arrives."""
    with listener:
        connection, _ = listener.accept()
        with connection:
            tls = context.wrap_socket(connection.dup(), server_side=True, do_handshake_on_connect=False)
            with tls, contextlib.suppress(ssl.SSLError):
                tls.do_handshake()
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


async def test_server_that_ends_the_handshake_without_alert_is_no_server(tmp_path: Path) -> None:
    server, devices = Authority("server"), Authority("devices")
    context = server_context(server.issue(), tmp_path, client_anchor=devices.certificate)
    cause = await _cause(tmp_path, context, lambda radio: HttpsClient(radio, (server.certificate,)))
    assert cause == "no_server"


async def test_host_without_tls_is_no_server(tmp_path: Path) -> None:
    async with talking(tmp_path, b"220 mail.example.org ESMTP\r\n") as (url, radio):
        with pytest.raises(NetworkFailure) as failure:
            await HttpsClient(radio, (Authority("server").certificate,)).get(url)
    assert failure.value.cause == "no_server"


async def test_server_that_never_answers_is_no_server(tmp_path: Path) -> None:
    async with talking(tmp_path, b"") as (url, radio):
        with pytest.raises(NetworkFailure) as failure:
            await HttpsClient(radio, (Authority("server").certificate,), timeout_s=0.05).get(url)
    assert failure.value.cause == "no_server"


async def test_network_that_is_left_in_the_middle_is_no_server(tmp_path: Path) -> None:
    async with talking(tmp_path, b"", reached := asyncio.Event()) as (url, radio):
        asking = asyncio.create_task(HttpsClient(radio, (Authority("server").certificate,)).get(url))
        await reached.wait()
        await radio.leave()
        with pytest.raises(NetworkFailure) as failure:
            await asking
    assert failure.value.cause == "no_server"


async def test_connection_that_ends_in_the_response_is_no_server(tmp_path: Path) -> None:
    authority = Authority("server")
    cause = await _cause(
        tmp_path,
        server_context(authority.issue(), tmp_path),
        lambda radio: HttpsClient(radio, (authority.certificate,)),
        answer=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut",
    )
    assert cause == "no_server"


async def test_radio_without_network_is_unreachable(tmp_path: Path) -> None:
    async with premises_server(tmp_path, []) as path:
        radio = await SimulatedRadio.attach(path, "device")
        with pytest.raises(Unreachable):
            await HttpsClient(radio, (Authority("server").certificate,)).get("https://localhost/")
        await radio.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + bytes(65537),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
    ],
)
async def test_bad_response_is_malformed(tmp_path: Path, answer: bytes) -> None:
    authority = Authority("server")
    context = server_context(authority.issue(), tmp_path)
    async with running(tmp_path, context, answer) as (host, radio):
        with pytest.raises(Malformed):
            await HttpsClient(radio, (authority.certificate,)).get(f"https://localhost:{host.port}/")


@pytest.mark.parametrize(
    "url", ["http://localhost/", "https://", "https://a@localhost/", "https://localhost:x/", "localhost"]
)
async def test_url_that_is_not_https_is_malformed(tmp_path: Path, url: str) -> None:
    async with premises_server(tmp_path, []) as path:
        radio = await SimulatedRadio.attach(path, "device")
        with pytest.raises(Malformed):
            await HttpsClient(radio, (Authority("server").certificate,)).get(url)
        await radio.close()


def test_context_without_anchors_is_misuse() -> None:
    with pytest.raises(Misuse):
        tls_context(())


def test_anchor_or_key_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError):
        tls_context((b"nonsense",))
    authority = Authority("server")
    leaf, other = authority.issue(), authority.issue()
    for certificate in (
        ClientCertificate((leaf.certificate,), other.key_pem),
        ClientCertificate((leaf.certificate,), b"nonsense"),
    ):
        with pytest.raises(ConfigurationError):
            tls_context((authority.certificate,), client_certificate=certificate)


def test_key_does_not_show_in_the_repr() -> None:
    assert "PRIVATE" not in repr(ClientCertificate((b"c",), b"-----BEGIN PRIVATE KEY-----"))


class KeepingHost:
    """A server that answers every request of a connection with its count; `closes` makes it end with the first."""

    def __init__(self, *, closes: bool = False) -> None:
        self._closes = closes
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        count = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while count == 0 or not self._closes:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"content-length: 5" in head:
                    await reader.readexactly(5)
                count += 1
                close = b"Connection: close\r\n" if self._closes else b""
                writer.write(b"HTTP/1.1 200 OK\r\n" + close + b"Content-Length: 1\r\n\r\n%d" % count)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def keeping(directory: Path, host: KeepingHost) -> AsyncIterator[tuple[str, Authority, Leaf, SimulatedRadio]]:
    authority = Authority("anchor")
    leaf = authority.issue()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=server_context(leaf, directory))
    port = server.sockets[0].getsockname()[1]
    async with server, premises_server(directory, [f"localhost:{port}"]) as path:
        radio = await SimulatedRadio.attach(path, "device")
        await radio.join("Home", "correct horse")
        yield f"https://localhost:{port}", authority, leaf, radio
        await radio.close()


async def test_requests_that_belong_together_share_a_connection_and_know_its_certificate(tmp_path: Path) -> None:
    host = KeepingHost()
    async with keeping(tmp_path, host) as (url, authority, leaf, radio):
        client = HttpsClient(radio, [authority.certificate])
        async with client.connection(url) as connection:
            answers = [(await connection.get("/a")).body, (await connection.post("/b", b"hello", "text/plain")).body]
            assert connection.peer_certificate == leaf.certificate
            answers.append((await connection.request("GET", "/c", last=True)).body)
    assert answers == [b"1", b"2", b"3"]
    assert host.connections == 1


async def test_a_server_that_keeps_no_connection_is_no_server_for_the_next_request(tmp_path: Path) -> None:
    async with (
        keeping(tmp_path, KeepingHost(closes=True)) as (url, authority, _, radio),
        HttpsClient(radio, [authority.certificate]).connection(url) as connection,
    ):
        await connection.get("/a")
        with pytest.raises(NetworkFailure) as failure:
            await connection.get("/b")
    assert failure.value.cause == "no_server"


async def test_a_connection_to_another_authoritys_server_is_refused(tmp_path: Path) -> None:
    async with keeping(tmp_path, KeepingHost()) as (url, _, _, radio):
        client = HttpsClient(radio, [Authority("other").certificate])
        with pytest.raises(NetworkFailure) as failure:
            async with client.connection(url):
                pytest.fail("connected")
    assert failure.value.cause == "untrusted_server"
