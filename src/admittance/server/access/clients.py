"""The clients that the operator registers, and the one that is built in: our own command line and SDK."""

import hmac
import re
import secrets
from dataclasses import replace
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Row, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Conflict, Malformed, NotFound
from admittance.server.access import model, rfc8252, rfc8705
from admittance.server.access.model import Client
from admittance.server.access.scopes import NEVER_BY_DEVICE_GRANT, SCOPES, parse_scope, show_scope
from admittance.server.access.tables import oauth_audiences, oauth_clients, oauth_sessions
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.grants.endings import end_session_keys
from admittance.server.revocations.store import record_ending

FIRST_PARTY = Client(
    client_id="admittance-cli",
    name="Admittance",
    authentication="none",
    grants=frozenset({model.AUTHORIZATION_CODE, model.REFRESH, model.DEVICE_CODE, model.EXCHANGE}),
    redirect_uris=("http://127.0.0.1/callback", "http://[::1]/callback"),
    scope=frozenset(SCOPES),
    first_party=True,
)
"""Our own command line and SDK."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{3,64}")
_AUDIENCE = re.compile(r"https://[A-Za-z0-9.:/_~-]{1,200}")
_MAX_NAME_CHARACTERS = 64
_FOUND_FOR_S = 1.0
"""How long a node goes by what it found: a client that is removed gets nothing after that."""

_MAX_FOUND = 1024
_BY_ID = select(oauth_clients).where(oauth_clients.c.client_id == bindparam("sought"))
_AUDIENCES = select(oauth_audiences.c.audience).where(oauth_audiences.c.client_id == bindparam("sought"))


class Clients:
    """Registers, finds and removes. Secrets are made here, shown once, and stored as an HMAC."""

    def __init__(self, *, database: Database, clock: Clock, audit: AuditLog, mac_key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._hasher = SecretHasher(mac_key, "client-secret")
        self._found: dict[str, tuple[float, Client]] = {}

    async def add(self, client: Client, *, actor: str) -> str | None:
        """Register a client; returns its secret where it authenticates by one.

        Raises:
            Malformed: a value that is not allowed, or values that do not go together.
            Conflict: the client id or an audience is taken.
        """
        check(client)
        secret = new_secret() if client.authentication == "client_secret_basic" else None
        stored = replace(client, secret_mac=self._hasher.mac(secret) if secret else None)
        now = self._clock()
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(oauth_clients), _row_of(stored, int(now)))
                for audience in client.audiences:
                    values = {"audience": audience, "client_id": client.client_id}
                    await connection.execute(insert(oauth_audiences), values)
                await self._audit.append(
                    connection,
                    event="client.added",
                    actor=actor,
                    subject=f"client:{client.client_id}",
                    details={"authentication": client.authentication, "scope": show_scope(client.scope)},
                    now=now,
                )
        except IntegrityError as error:
            raise Conflict("A client has this id or serves this audience already.") from error
        return secret

    async def remove(self, client_id: str, *, actor: str) -> int:
        """Remove a client and end its sessions; returns how many. Raises `NotFound`."""
        self._found.pop(client_id, None)
        now = self._clock()
        async with self._database.transaction() as connection:
            removed = await connection.execute(delete(oauth_clients).where(oauth_clients.c.client_id == client_id))
            if removed.rowcount != 1:
                raise NotFound("There is no such client.")
            ended = (
                await connection.execute(
                    delete(oauth_sessions)
                    .where(oauth_sessions.c.client_id == client_id)
                    .returning(oauth_sessions.c.session_id)
                )
            ).scalars()
            session_ids = list(ended)
            for session_id in session_ids:
                await record_ending(connection, "token", session_id, now)
                await end_session_keys(connection, session_id, now)
            await self._audit.append(
                connection,
                event="client.removed",
                actor=actor,
                subject=f"client:{client_id}",
                details={"sessions": len(session_ids)},
                now=now,
            )
        return len(session_ids)

    async def list(self) -> list[Client]:
        """The registered clients, by id."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(oauth_clients).order_by(oauth_clients.c.client_id))).all()
            return [await _client_of(connection, row) for row in rows]

    async def find(self, client_id: str) -> Client | None:
        """A client by its id, as it was at most a second ago."""
        if client_id == FIRST_PARTY.client_id:
            return FIRST_PARTY
        now = self._clock()
        found_at, found = self._found.get(client_id, (float("-inf"), None))
        if abs(now - found_at) < _FOUND_FOR_S:
            return found
        self._found.pop(client_id, None)
        async with self._database.read() as connection:
            row = (await connection.execute(_BY_ID, {"sought": client_id})).first()
            client = None if row is None else await _client_of(connection, row)
        if client is not None and len(self._found) < _MAX_FOUND:
            self._found[client_id] = now, client
        return client

    async def serves(self, audience: str) -> bool:
        """Whether a registered client serves that resource (RFC 8707)."""
        query = select(oauth_audiences.c.client_id).where(oauth_audiences.c.audience == audience)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    def holds_secret(self, client: Client | None, secret: str) -> bool:
        """Whether `secret` is the client's; as much work for an unknown client as for a known one."""
        try:
            mac = self._hasher.mac(secret)
        except Malformed:
            return False
        known = client.secret_mac if client is not None and client.secret_mac is not None else bytes(32)
        return hmac.compare_digest(mac, known) and client is not None and client.secret_mac is not None


def check(client: Client) -> None:
    """Whether a client may be registered like that. Raises `Malformed`."""
    if _CLIENT_ID.fullmatch(client.client_id) is None or client.client_id == FIRST_PARTY.client_id:
        raise Malformed("A client id has 3 to 64 letters, digits, dots, hyphens and underscores, and is not ours.")
    if not client.name.isprintable() or not 0 < len(client.name) <= _MAX_NAME_CHARACTERS:
        raise Malformed(f"A client's name has 1 to {_MAX_NAME_CHARACTERS} printable characters.")
    unknown = client.grants - set(model.GRANTS)
    if unknown or not client.grants:
        raise Malformed(f"A client needs one of these grants: {', '.join(model.GRANTS)}.")
    if client.is_public and model.CLIENT_CREDENTIALS in client.grants:
        raise Malformed("A public client has no credentials: it can't have the grant client_credentials.")
    if (model.AUTHORIZATION_CODE in client.grants) != bool(client.redirect_uris):
        raise Malformed("The grant authorization_code needs a redirect URI, and no other grant has a use for one.")
    if client.grants == {model.DEVICE_CODE} and client.scope <= NEVER_BY_DEVICE_GRANT:
        raise Malformed("The device grant gives none of these scopes.")
    if client.audiences and client.is_public:
        raise Malformed("A public client serves no audience: it could not introspect.")
    for uri in client.redirect_uris:
        rfc8252.check_registered(uri)
    for audience in client.audiences:
        if _AUDIENCE.fullmatch(audience) is None:
            raise Malformed(f"{audience!r} is no audience: use an https URI without query and fragment.")
    parse_scope(show_scope(client.scope))
    if (client.authentication == "private_key_jwt") != (client.keys is not None):
        raise Malformed("private_key_jwt needs the client's public keys, and no other authentication takes them.")
    if client.keys is not None:
        _check_keys(client.keys)
    rfc8705.check_registered(client)


def new_client_id() -> str:
    return f"client-{secrets.token_hex(8)}"


def _check_keys(keys: dict[str, Any]) -> None:
    try:
        read = KeySet.import_key_set(keys)  # type: ignore[arg-type]
        kinds = [(key.key_type, key.is_private, key.get("crv")) for key in read.keys]
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise Malformed("The keys are no JWK set.") from None
    if not kinds or any(kind not in (("EC", False, "P-256"), ("OKP", False, "Ed25519")) for kind in kinds):
        raise Malformed("A client's keys are public keys on P-256 or Ed25519.")


def _row_of(client: Client, created_at: int) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "name": client.name,
        "authentication": client.authentication,
        "secret_mac": client.secret_mac,
        "keys": None if client.keys is None else msgspec.json.encode(client.keys).decode(),
        "certificate": client.certificate,
        "grants": " ".join(sorted(client.grants)),
        "redirect_uris": " ".join(client.redirect_uris),
        "scope": show_scope(client.scope),
        "created_at": created_at,
    }


async def _client_of(connection: AsyncConnection, row: Row[tuple[object, ...]]) -> Client:
    audiences = (await connection.execute(_AUDIENCES, {"sought": row.client_id})).scalars()
    return Client(
        client_id=row.client_id,
        name=row.name,
        authentication=row.authentication,
        grants=frozenset(row.grants.split()),
        redirect_uris=tuple(row.redirect_uris.split()),
        scope=frozenset(row.scope.split()),
        audiences=tuple(audiences),
        keys=None if row.keys is None else msgspec.json.decode(row.keys),
        certificate=row.certificate,
        secret_mac=row.secret_mac,
    )
