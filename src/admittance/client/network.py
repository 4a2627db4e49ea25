"""The phone's network: at any moment either the device's access point or the internet, never both.

`transport` puts httpx on top of it, so that the API client's HTTPS goes through whatever network the phone is on.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import httpcore
import httpx

from admittance.errors import JoinFailed, NetworkFailure, Unreachable
from admittance.premises.station import Station

ACCESS_POINT = ("192.168.4.1", 80)
PROBE_TIMEOUT_S = 4.0
CONNECT_TIMEOUT_S = 10.0
TRIES = 3


Connect: TypeAlias = Callable[[str, int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Opens a connection to a host and port. Raises `Unreachable`."""


class PhoneNetwork(Protocol):
    """The one network that the phone is on."""

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        """Join a device's access point, and leave the internet. Raises `NetworkFailure`."""

    async def use_internet(self) -> None:
        """Go back to the network that leads to the server. Raises `NetworkFailure`."""

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect through the present network. Raises `Unreachable`."""


class SimulatedNetwork:
    """The phone as a station of the simulated premises; `internet` names the cellular network."""

    def __init__(self, station: Station, internet: str = "mobile") -> None:
        self._station = station
        self._internet = internet

    @classmethod
    async def attach(cls, socket_path: Path | str, name: str, internet: str = "mobile") -> Self:
        """Attach a phone to the premises. Raises `Conflict` if the name is taken, `Unavailable`."""
        return cls(await Station.attach(socket_path, name, cellular=True), internet)

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        if self._station.joined != ssid:
            await self._station.join(ssid, passphrase)

    async def use_internet(self) -> None:
        if self._station.joined != self._internet:
            await self._station.join(self._internet, "")

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._station.open_connection(host, port)

    async def close(self) -> None:
        """Switch the phone off."""
        await self._station.close()


class PromptedNetwork:
    """A computer whose person switches its network by hand.

    `ask` shows a text and returns when the person has confirmed. After each switch the network is checked: the
    access point by its own address, the internet by `server` (host, port). After `TRIES` it gives up.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[None]],
        server: tuple[str, int],
        access_point: tuple[str, int] = ACCESS_POINT,
    ) -> None:
        self._ask = ask
        self._server = server
        self._access_point = access_point

    async def use_access_point(self, ssid: str, passphrase: str) -> None:
        text = (
            f"Join the Wi-Fi network {ssid} with the passphrase {passphrase}\n"
            "It has no internet: stay on it if you are asked. Then press Enter."
        )
        if not await self._switch(text, self._access_point):
            raise JoinFailed(
                "not_found", f"This computer does not reach the device. Is it on {ssid}, and the device close by?"
            )

    async def use_internet(self) -> None:
        host, port = self._server
        if await _answers(host, port):
            return
        text = "Go back to a network with internet. Then press Enter."
        if not await self._switch(text, self._server):
            raise Unreachable(f"This computer does not reach {host}:{port}.")

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if (host, port) == ACCESS_POINT:
            host, port = self._access_point
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{host}:{port} does not answer.") from error

    async def _switch(self, text: str, endpoint: tuple[str, int]) -> bool:
        await self._ask(text)
        for _ in range(TRIES - 1):
            if await _answers(*endpoint):
                return True
            await self._ask(f"{endpoint[0]} does not answer yet.\n{text}")
        return await _answers(*endpoint)


async def connect_from_host(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """`Connect` in the network of this machine."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{host}:{port} does not answer.") from error


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def secure(writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str, timeout_s: float | None) -> None:
    """Put TLS on a connection, verified by `context`; on a failure the connection is ended.

    Raises `NetworkFailure`: ``untrusted_server`` when the certificate does not hold, else ``no_server``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await writer.start_tls(context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        writer.transport.abort()
        message = f"{host} is not the trusted server: {error.verify_message}."
        raise NetworkFailure("untrusted_server", message) from error
    except (OSError, TimeoutError) as error:
        writer.transport.abort()
        raise Unreachable(f"The connection to {host} broke while TLS was set up.") from error


def transport(network: PhoneNetwork, context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """An httpx transport over the phone's network; TLS runs end to end and is verified by `context`.

    Its requests raise `NetworkFailure`: ``no_server`` when the network does not lead to the host, is left, or is too
    slow, ``untrusted_server`` when the certificate does not hold.
    """
    return _Transport(network, context)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, network: PhoneNetwork, context: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(ssl_context=context, network_backend=_Backend(network))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(sent)
        except _BROKEN as error:
            raise _broken(error) from error
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._pool.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._pool.aclose()


_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


def _broken(error: Exception) -> NetworkFailure:
    return Unreachable(f"The connection to the server broke ({type(error).__name__}). Is the network still there?")


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except _BROKEN as error:
            raise _broken(error) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, network: PhoneNetwork) -> None:
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore calls it so
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return _Stream(host, *await self._network.open_connection(host, port))
        except TimeoutError as error:
            raise Unreachable(f"{host}:{port} does not answer.") from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("no answer in time") from error
        except OSError as error:
            raise httpcore.ReadError("the connection broke") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout("nothing taken in time") from error
        except OSError as error:
            raise httpcore.WriteError("the connection broke") from error

    async def aclose(self) -> None:
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        await secure(self._writer, ssl_context, server_hostname or self._host, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "is_readable":
                return self._reader.at_eof() or self._writer.is_closing()
            case "ssl_object":
                return self._writer.get_extra_info("ssl_object")
        return None
