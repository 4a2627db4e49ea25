"""A local SMS gateway for demonstrations and tests: it takes what `[sms] provider = "http"` posts and writes it down.

One JSON object ``{"id", "to", "text"}`` a line, in a file of mode 0600. Run it as
``python -m admittance.demo.sms_gateway --listen 127.0.0.1:PORT --token-file FILE --out FILE``.
"""

import argparse
import asyncio
import hmac
import json
import os
from http import HTTPStatus
from pathlib import Path

import h11

MAX_BODY_BYTES = 16 * 1024
READ_BYTES = 16 * 1024


class Gateway:
    """Takes messages from whoever has the token."""

    def __init__(self, token: str, out: Path) -> None:
        self._expected = f"Bearer {token}".encode()
        self._out = out
        os.close(os.open(out, os.O_CREAT | os.O_WRONLY, 0o600))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        connection = h11.Connection(h11.SERVER)
        try:
            status = self._take(*await _request(connection, reader))
            answer = h11.Response(status_code=status, headers=[("content-length", "0"), ("connection", "close")])
            for event in (answer, h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            await writer.drain()
        except (h11.ProtocolError, ConnectionError):
            pass
        finally:
            writer.close()

    def _take(self, request: h11.Request, body: bytes) -> HTTPStatus:
        given = dict(request.headers).get(b"authorization", b"")
        if not hmac.compare_digest(given, self._expected):
            return HTTPStatus.UNAUTHORIZED
        try:
            sms = json.loads(body)
        except ValueError:
            return HTTPStatus.BAD_REQUEST
        with self._out.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({name: sms[name] for name in ("id", "to", "text")}) + "\n")
        return HTTPStatus.ACCEPTED


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data) and len(body) <= MAX_BODY_BYTES:
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request, bytes(body)
        else:
            raise ConnectionError("no request")


async def _run(listen: str, token: str, out: Path) -> None:
    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(Gateway(token, out).serve, host, int(port))
    async with server:
        await server.serve_forever()


def main() -> None:
    """Take messages until ended."""
    parser = argparse.ArgumentParser(description="A local SMS gateway that writes messages into a file.")
    parser.add_argument("--listen", required=True, help="host:port")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    token = options.token_file.read_text(encoding="utf-8").strip()
    asyncio.run(_run(options.listen, token, options.out))


if __name__ == "__main__":
    main()
