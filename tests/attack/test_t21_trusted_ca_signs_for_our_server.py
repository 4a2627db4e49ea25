"""T21. Means: a certificate for the server's name from a CA that the victim's system trusts, and the server's place
on the network. Goal: be taken for the server.

`SSL_CERT_FILE` puts the attacker's CA into the system's store of every program here.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.attack.site import Site
from tests.attack.world import Device, World, until
from tests.tls_material import Authority, server_context

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


@dataclass
class FalseServer:
    """Sits at the server's address with a certificate of its own CA; `heard` is what was said to it under TLS."""

    authority: Authority
    heard: list[bytes] = field(default_factory=list)

    @asynccontextmanager
    async def in_place_of(self, site: Site, folder: Path) -> AsyncIterator[None]:
        """Take the server down and its ports over; the server comes back at the end."""
        await site.server.end()
        ports = (site.stage.ports.people, site.stage.ports.first_contact, site.stage.ports.device)
        context = server_context(self.authority.issue(), folder)
        servers = [
            await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context, reuse_address=True)
            for port in ports
        ]
        try:
            yield
        finally:
            for server in servers:
                server.close()
            site.server = await site.stage.serve()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.read(65536))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture
def impostor(grounds: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FalseServer:
    """A CA with the very name of the anchor that devices know, trusted by the system."""
    name = grounds.keystore.tls_anchor.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    authority = Authority(str(name))
    bundle = tmp_path / "system.pem"
    bundle.write_text(ssl.DER_cert_to_PEM_cert(authority.certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    return FalseServer(authority)


async def _ask_as_the_system_does(site: Site) -> int:
    async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False) as client:
        return (await client.get(f"{site.origin}/healthz")).status_code


async def test_a_device_trusts_the_anchors_of_its_configuration_alone(
    grounds: Site, lamp_world: World, impostor: FalseServer, tmp_path: Path
) -> None:
    device = await lamp_world.owned(await lamp_world.account("owner"))
    await device.told("status")
    async with impostor.in_place_of(grounds, tmp_path):
        assert await _ask_as_the_system_does(grounds) == 200
        assert len(impostor.heard) == 1
        await _refused(device, len(device.events("contact_failed")))
        await lamp_world.power_cut()
        await lamp_world.power_up(device)
        await _refused(device, 0)
        assert set(impostor.heard[1:]) <= {b""}, "The device said something to the false server."


async def test_the_commands_trust_the_ca_that_they_were_given_alone(
    grounds: Site, lamp_world: World, impostor: FalseServer, tmp_path: Path
) -> None:
    profile = await lamp_world.account("owner")
    password = tmp_path / "password"
    password.write_text("a password that nobody else may see\n")
    password.chmod(0o600)
    login = (
        *("account", "login", "owner@example.org", "--server", grounds.origin),
        *("--password-file", password, "--profile", tmp_path / "profile"),
    )
    stage = grounds.stage
    async with impostor.in_place_of(grounds, tmp_path):
        for pinned in (
            (*login, "--ca-file", stage.people_ca),
            ("devices", "list", "--profile", profile),
            ("account", "show", "--profile", profile),
        ):
            refused = await stage.admit("pinned", *pinned, expect=None)
            assert (refused.code != 0, refused.last["error"]) == (True, "network")
            assert "not the trusted server" in refused.last["detail"]
        assert b"".join(impostor.heard) == b""
        await stage.admit("unpinned", *login, expect=None)
        assert b"/oauth/authorize-challenge" in b"".join(impostor.heard), (
            "The system's CAs do count where no CA was given."
        )


async def _refused(device: Device, after: int) -> None:
    """Wait until the device met the false server, which is not the one that does not answer."""

    def causes() -> set[str]:
        return {event["cause"] for event in device.events("contact_failed")[after:]}

    await until(lambda: "untrusted_server" in causes(), "The device fails to reach its server.")
    assert causes() <= {"untrusted_server", "no_server"}
