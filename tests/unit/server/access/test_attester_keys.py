"""Where the integrity service's keys come from."""

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.demo.ports import free_ports
from admittance.errors import ConfigurationError, Unavailable
from admittance.server.access.attester_keys import MAX_AGE_S, FetchedKeys, KeyFile, parse_keys
from admittance.server.listeners import Listener
from tests.tls_material import Authority, client_context, server_context
from tests.unit.server.access.attester import Attester
from tests.unit.server.serving import listening

NOW = 1_800_000_000.0


class Service:
    """Answers with `content`, over TLS."""

    def __init__(self, content: bytes) -> None:
        self.content, self.status = content, 200
        self.ca = Authority("integrity")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[str]:
        async def keys(_request: Request) -> Response:
            return Response(self.content, status_code=self.status, media_type="application/json")

        (port,) = free_ports(1)
        context = server_context(self.ca.issue(), folder)
        application = Starlette(routes=[Route("/keys", keys)])
        async with listening(Listener("keys", f"127.0.0.1:{port}", application, context)):
            yield f"https://localhost:{port}/keys"


def as_json(attester: Attester) -> bytes:
    return json.dumps(attester.key_set).encode()


def test_a_file_is_taken_up_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    old, new = Attester(), Attester()
    path.write_bytes(as_json(old))
    keys = KeyFile(path)
    assert keys.find(old.kid, NOW) is not None
    assert keys.find(new.kid, NOW) is None
    path.write_bytes(as_json(new))
    os.utime(path, ns=(1, 1))
    assert keys.find(new.kid, NOW) is not None
    assert keys.find(old.kid, NOW) is None


def test_a_file_that_is_damaged_later_leaves_what_was_known(tmp_path: Path) -> None:
    path, attester = tmp_path / "jwks.json", Attester()
    path.write_bytes(as_json(attester))
    keys = KeyFile(path)
    path.write_bytes(b"{")
    os.utime(path, ns=(1, 1))
    assert keys.find(attester.kid, NOW) is not None
    path.unlink()
    assert keys.find(attester.kid, NOW) is not None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "EC", "kid": "a"}]}', b"\xff"])
def test_a_file_without_keys_is_an_error_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="jwks_file"):
        KeyFile(path)


def test_keys_of_other_kinds_are_left_out() -> None:
    attester = Attester()
    other = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}
    content = json.dumps({"keys": [other, *attester.key_set["keys"]]}).encode()
    assert set(parse_keys(content)) == {attester.kid}


async def test_fetched_keys_count_for_a_while_after_the_service_is_gone(tmp_path: Path) -> None:
    now = NOW
    attester = Attester()
    service = Service(as_json(attester))
    async with service.running(tmp_path) as url:
        keys = FetchedKeys(url, trust=client_context(service.ca.certificate), clock=lambda: now)
        with pytest.raises(Unavailable):
            keys.find(attester.kid, now)
        await keys.refresh()
        assert keys.find(attester.kid, now) is not None
        service.status = 500
        now += 10
        await keys.refresh()
        service.status, service.content = 200, b"x" * 70_000
        await keys.refresh()
    await keys.refresh()
    assert keys.find(attester.kid, NOW + MAX_AGE_S) is not None
    with pytest.raises(Unavailable):
        keys.find(attester.kid, NOW + MAX_AGE_S + 1)


async def test_keys_from_a_server_that_is_not_vouched_for_do_not_count(tmp_path: Path) -> None:
    attester = Attester()
    service = Service(as_json(attester))
    async with service.running(tmp_path) as url:
        for trust in (client_context(Authority("another").certificate), ssl.create_default_context()):
            keys = FetchedKeys(url, trust=trust, clock=lambda: NOW)
            await keys.refresh()
            with pytest.raises(Unavailable):
                keys.find(attester.kid, NOW)
