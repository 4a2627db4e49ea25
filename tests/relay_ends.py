"""The two ends of a relay, as small as they can be: a device that answers what it gets, and an app's stream."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from admittance.errors import AdmittanceError, NetworkFailure, WebSocketClosed
from admittance.protocol.relay.device_mux import DeviceMux, StreamMessage
from admittance.protocol.signing import SoftwareSigner
from admittance.transport.websocket import WebSocket
from admittance.wire import message, relay
from admittance.wire.relay import RelayAccepted, RelayHello, RelayProof


async def open_socket(
    port: int, trust: ssl.SSLContext, path: str, headers: tuple[tuple[str, str], ...] = ()
) -> tuple[WebSocket, bytes]:
    """A WebSocket to that port of localhost, and the SHA-256 of the certificate it showed."""
    try:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    except OSError as error:
        raise NetworkFailure("no_server", "nobody listens") from error
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    socket = await WebSocket.connect(reader, writer, host=f"localhost:{port}", target=path, headers=headers)
    return socket, hashlib.sha256(shown).digest()


@dataclass
class EchoDevice:
    """A device that is connected to one of `ports`, and tries them in turn when it is not, until it is stopped.

    `closings` are the codes that its connections ended with. What it gets, it sends back with "echo:" before it.
    """

    device_id: str
    epoch: int
    key: ec.EllipticCurvePrivateKey
    chain: list[bytes]
    trust: ssl.SSLContext
    ports: list[int]
    closings: list[int] = field(default_factory=list)
    port: int | None = None
    _running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for port in tuple(self.ports):
                try:
                    await self._connect(port)
                except WebSocketClosed as closed:
                    self.closings.append(closed.close_code)
                except AdmittanceError:
                    pass
                self.port = None
            await asyncio.sleep(0.2)

    async def _connect(self, port: int) -> None:
        socket, shown = await open_socket(port, self.trust, relay.DEVICE_PATH)
        try:
            hello = message.decode(await socket.receive(), RelayHello)
            signed = relay.proof_input(hello.nonce, shown, self.device_id, self.epoch)
            signature = SoftwareSigner(self.key).sign(signed)
            proof = RelayProof([self.chain[0]], self.device_id, self.epoch, signature)
            await socket.send(message.encode(proof))
            message.decode(await socket.receive(), RelayAccepted)
            self.port = port
            await self._echo(socket)
        finally:
            socket.abort()

    async def _echo(self, socket: WebSocket) -> None:
        mux = DeviceMux()
        while True:
            mux.receive(await socket.receive())
            for event in mux.events():
                if isinstance(event, StreamMessage):
                    mux.send(event.stream, b"echo:" + event.data)
            for batch in mux.drain():
                await socket.send(batch)


@dataclass
class AppStream:
    """An app's open stream."""

    socket: WebSocket

    async def exchange(self, data: bytes) -> None:
        await self.socket.send(data)
        answer = await self.socket.receive()
        assert answer == b"echo:" + data

    async def closed(self) -> int:
        """Wait for the end; the code that it came with."""
        try:
            while True:
                await self.socket.receive()
        except WebSocketClosed as closed:
            return closed.close_code
