"""`admit clients`: the programs that may ask for access. Run beside the server, as the server's user."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from admittance.cli.output import config_option, emit, json_option
from admittance.errors import Malformed

T = TypeVar("T")

AUTHENTICATIONS = (
    "none",
    "client_secret_basic",
    "private_key_jwt",
    "self_signed_tls_client_auth",
    "attest_jwt_client_auth_dpop",
)
GRANTS = {
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
    "device_code": "urn:ietf:params:oauth:grant-type:device_code",
    "token_exchange": "urn:ietf:params:oauth:grant-type:token-exchange",
}


@click.group()
def clients() -> None:
    """Add, list and remove OAuth clients, and roll the keys that sign their tokens. On the server's host."""


@clients.command()
@click.argument("name")
@click.option("--id", "client_id", help="The client id; without it, one is made.")
@click.option(
    "--authentication",
    type=click.Choice(AUTHENTICATIONS),
    default="none",
    show_default=True,
    help="How the client proves itself; none: a public client, whose tokens are bound to its key.",
)
@click.option("--grant", "grants", multiple=True, type=click.Choice(list(GRANTS)), help="A grant; repeatable.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where answers may go, exactly; repeatable.")
@click.option("--scope", required=True, help="What it may ask for, separated by spaces.")
@click.option("--audience", "audiences", multiple=True, help="A resource that the client serves; repeatable.")
@click.option(
    "--keys-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The client's public keys, a JWK set, for private_key_jwt.",
)
@click.option(
    "--certificate-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The client's certificate in PEM, for self_signed_tls_client_auth.",
)
@config_option
@json_option
def add(
    name: str,
    client_id: str | None,
    authentication: Any,
    grants: tuple[str, ...],
    redirect_uris: tuple[str, ...],
    scope: str,
    audiences: tuple[str, ...],
    keys_file: Path | None,
    certificate_file: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Add the client NAME, as people will read it when they are asked. A secret is shown once.

    \b
    Examples:
      admit clients add "Garden app" --grant authorization_code --grant refresh_token \\
        --redirect-uri org.example.garden:/callback --scope devices
      admit clients add Backup --authentication client_secret_basic --grant client_credentials \\
        --scope devices --json
      admit clients add Reports --authentication self_signed_tls_client_auth --certificate-file reports.pem \\
        --grant client_credentials --scope reports
    """
    from admittance.server.access.clients import Clients, new_client_id
    from admittance.server.access.model import Client

    client = Client(
        client_id=client_id or new_client_id(),
        name=name,
        authentication=authentication,
        grants=frozenset(GRANTS[grant] for grant in grants or ("authorization_code", "refresh_token")),
        redirect_uris=redirect_uris,
        scope=frozenset(scope.split()),
        audiences=audiences,
        keys=None if keys_file is None else _read_keys(keys_file),
        certificate=None if certificate_file is None else _read_certificate(certificate_file),
    )

    async def work(registered: Clients) -> str | None:
        return await registered.add(client, actor="operator")

    secret = _with_clients(config_path, work)
    shown = {"client_id": client.client_id} | ({} if secret is None else {"client_secret": secret})
    text = f"Client id: {client.client_id}" + ("" if secret is None else f"\nClient secret, shown once: {secret}")
    emit(shown if as_json else text, as_json)


@clients.command("list")
@config_option
@json_option
def list_(config_path: Path | None, as_json: bool) -> None:
    """List the clients.

    \b
    Example:
      admit clients list --json
    """
    from admittance.server.access.clients import Clients
    from admittance.server.access.model import Client

    async def work(registered: Clients) -> list[Client]:
        return await registered.list()

    found = [
        {
            "client_id": client.client_id,
            "name": client.name,
            "authentication": client.authentication,
            "grants": sorted(client.grants),
            "redirect_uris": list(client.redirect_uris),
            "scope": " ".join(sorted(client.scope)),
            "audiences": list(client.audiences),
        }
        | ({} if client.x5t_s256 is None else {"x5t#S256": client.x5t_s256})
        for client in _with_clients(config_path, work)
    ]
    lines = [f"{client['client_id']}  {client['name']}  ({client['authentication']})" for client in found]
    emit({"clients": found} if as_json else "\n".join(lines) or "No clients are registered.", as_json)


@clients.command()
@click.argument("client_id")
@config_option
@json_option
def remove(client_id: str, config_path: Path | None, as_json: bool) -> None:
    """Remove a client; every login that people gave it ends at once.

    \b
    Example:
      admit clients remove client-0123456789abcdef
    """
    from admittance.server.access.clients import Clients

    async def work(registered: Clients) -> int:
        return await registered.remove(client_id, actor="operator")

    ended = _with_clients(config_path, work)
    shown = {"client_id": client_id, "sessions_ended": ended}
    emit(shown if as_json else f"Removed; {ended} logins ended.", as_json)


@clients.command("roll-key")
@click.option(
    "--notice-s",
    type=click.IntRange(min=600),
    default=24 * 3600,
    show_default=True,
    help="How long the next key is published before it signs.",
)
@config_option
@json_option
def roll_key(notice_s: int, config_path: Path | None, as_json: bool) -> None:
    """Make the next key that signs access tokens; the server publishes it at once.

    Where several nodes hold copies of the keys, copy the new file to each of them before it signs.

    \b
    Example:
      admit clients roll-key --config admittance.toml
    """
    from admittance.server.config import load_config
    from admittance.server.foundation import open_foundation

    foundation = open_foundation(load_config(config_path), create=False)
    signs_from = foundation.keystore.token_keys.roll(time.time(), notice_s)
    shown = {"signs_from": signs_from}
    emit(shown if as_json else f"The next key signs from Unix time {signs_from}.", as_json)


def _with_clients(config_path: Path | None, work: Callable[[Any], Awaitable[T]]) -> T:
    from admittance.server.access import assembly
    from admittance.server.config import load_config
    from admittance.server.foundation import open_foundation

    foundation = open_foundation(load_config(config_path))

    async def run() -> T:
        try:
            await foundation.database.migrate()
            return await work(assembly.clients_of(assembly.ground_of(foundation)))
        finally:
            await foundation.close()

    return asyncio.run(run())


def _read_keys(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Malformed(f"{path} holds no JWK set.") from None
    if not isinstance(keys, dict):
        raise Malformed(f"{path} holds no JWK set.")
    return keys


def _read_certificate(path: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        (certificate,) = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise Malformed(f"{path} does not hold exactly one certificate in PEM.") from None
    return certificate.public_bytes(Encoding.DER)
