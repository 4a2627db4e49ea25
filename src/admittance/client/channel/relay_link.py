"""The way through the server's relay: a WebSocket whose binary messages are one CoAP message each."""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from admittance.client.api import ApiClient
from admittance.client.api_problems import error_from
from admittance.client.channel.closings import error_of_close
from admittance.client.channel.link import Link
from admittance.client.network import Connect, secure
from admittance.errors import (
    AdmittanceError,
    AuthenticationFailed,
    ConfigurationError,
    Malformed,
    NetworkFailure,
    NonceRequired,
    Unavailable,
    UpgradeRefused,
    WebSocketClosed,
)
from admittance.transport.websocket import Limits, WebSocket
from admittance.wire.coap import stream
from admittance.wire.coap.message import MAX_MESSAGE_BYTES, CoapMessage
from admittance.wire.relay import APP_PATH

TLS_TIMEOUT_S: Final = 10.0
HEARTBEAT_S: Final = 15.0

_LIMITS: Final = Limits(max_message_bytes=MAX_MESSAGE_BYTES)
_NONCE_TRIES: Final = 2
_WSS_PORT: Final = 443

Discover: TypeAlias = Callable[[], Awaitable[Sequence[str]]]


class RelayLink:
    """One stream to a device through a relay."""

    datagrams: Final = False

    def __init__(self, socket: WebSocket, device_id: str) -> None:
        self._socket = socket
        self._device_id = device_id

    async def send(self, message: CoapMessage) -> None:
        try:
            await self._socket.send(stream.encode(message))
        except WebSocketClosed as error:
            raise error_of_close(error, self._device_id) from error

    async def receive(self) -> CoapMessage:
        try:
            return stream.decode(await self._socket.receive())
        except WebSocketClosed as error:
            raise error_of_close(error, self._device_id) from error

    async def close(self) -> None:
        await self._socket.close()


class RelayWay:
    """Opens streams through the first relay of `urls` that answers, and asks the server for others when none does.

    Args:
        device_id: the device at the other end.
        api: a logged-in client of the server that runs the relay; it proves who asks.
        urls: base URLs, such as ``wss://home.example:8446``.
        discover: the URLs that the server names now.
        connect: opens connections in whatever network this machine is on.
        trust: the TLS context that the server's certificate must satisfy.
    """

    def __init__(
        self,
        device_id: str,
        api: ApiClient,
        urls: Sequence[str],
        discover: Discover,
        connect: Connect,
        trust: ssl.SSLContext,
    ) -> None:
        self._device_id = device_id
        self._api = api
        self._urls = list(urls)
        self._discover = discover
        self._connect = connect
        self._trust = trust

    async def open(self) -> Link:
        """Raises the error of the last relay that was tried."""
        failure: AdmittanceError | None = None
        for url in self._urls:
            try:
                return await self._open(url)
            except (NetworkFailure, Unavailable) as error:
                failure = error
        known, self._urls = self._urls, list(await self._discover())
        if not self._urls:
            raise ConfigurationError(
                f"{self._api.origin} runs no relay. Talk to the device in its own network, with --local."
            )
        for url in (url for url in self._urls if url not in known):
            try:
                return await self._open(url)
            except (NetworkFailure, Unavailable) as error:
                failure = error
        raise failure or Unavailable("No relay of the server answers. Try again later.")

    async def _open(self, url: str) -> Link:
        for _ in range(_NONCE_TRIES):
            try:
                return RelayLink(await self._upgrade(url), self._device_id)
            except UpgradeRefused as refused:
                error = error_from(refused.status, refused.headers, refused.body)
                if not isinstance(error, NonceRequired):
                    raise error from refused
                self._api.take_nonce(error.nonce)
        raise AuthenticationFailed("The server does not take its own nonce. Is this machine's clock right?")

    async def _upgrade(self, url: str) -> WebSocket:
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme != "wss" or not host:
            raise Malformed("The server names a relay that is no wss:// URL.")
        target = APP_PATH + self._device_id
        await self._api.renew()
        reader, writer = await self._connect(host, parts.port or _WSS_PORT)
        await secure(writer, self._trust, host, TLS_TIMEOUT_S)
        socket = await WebSocket.connect(
            reader,
            writer,
            host=parts.netloc,
            target=target,
            headers=list(self._api.proof_headers("GET", target).items()),
            limits=_LIMITS,
        )
        socket.heartbeat_s = HEARTBEAT_S
        return socket
