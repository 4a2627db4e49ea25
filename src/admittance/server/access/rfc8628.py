"""The device grant (RFC 8628): a program without browser shows a code, and a person answers it elsewhere.

Such a code can be read out to anybody, so what it gives never sets up devices and never lets people in.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidGrant,
    InvalidScope,
    Malformed,
    NotFound,
    OAuthRefused,
    SlowDown,
    UnauthorizedClient,
)
from admittance.server.access.answers import answering
from admittance.server.access.bound import Bound
from admittance.server.access.client_authentication import ClientAuthentication
from admittance.server.access.form import form, required
from admittance.server.access.model import DEVICE_CODE, REFRESH, Session, TokenAnswer
from admittance.server.access.resources import Resources
from admittance.server.access.rfc9449 import Proofs
from admittance.server.access.scopes import NEVER_BY_DEVICE_GRANT, allowed_scope, show_scope
from admittance.server.access.sessions import Sessions, new_session_id
from admittance.server.access.tables import oauth_device_codes
from admittance.server.access.token_endpoint import TokenRequest
from admittance.server.accounts.secrets_at_rest import SecretHasher, new_secret
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.http import reply

DEVICE_AUTHORIZATION_PATH = "/oauth/device_authorization"
VERIFICATION_PATH = "/oauth/device"
CODE_TTL_S = 600
INTERVAL_S = 5
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_CODE_CHARACTERS = 8
_UNKNOWN = "The device code is unknown, used, or of another client or key."


@dataclass(frozen=True)
class AskingDevice:
    """What a device asks for, and the code by which it is known here."""

    device_code_mac: bytes
    client_id: str
    scope: frozenset[str]


class DeviceCodes:
    """Makes pairs of codes and takes the person's answer. Only HMACs of both are stored."""

    def __init__(self, *, mac_key: bytes) -> None:
        self._device_codes = SecretHasher(mac_key, "device-code")
        self._user_codes = SecretHasher(mac_key, "user-code")
        self._bound = Bound(oauth_device_codes)

    async def make(
        self,
        connection: AsyncConnection,
        *,
        client_id: str,
        scope: frozenset[str],
        audience: str,
        jkt: str | None,
        now: float,
    ) -> tuple[str, str]:
        """A device code and the user code that goes with it, as it is shown: ``BCDF-GHJK``.

        Raises `Unavailable` when too many wait.
        """
        await self._bound.take(connection, now)
        device_code, user_code = new_secret(), "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))
        await connection.execute(
            insert(oauth_device_codes).values(
                device_code_mac=self.mac(device_code),
                user_code_mac=self._user_mac(user_code),
                client_id=client_id,
                scope=show_scope(scope),
                audience=audience,
                jkt=jkt,
                state="pending",
                interval_s=INTERVAL_S,
                poll_after=int(now),
                expires_at=int(now) + CODE_TTL_S,
            )
        )
        return device_code, f"{user_code[:4]}-{user_code[4:]}"

    async def by_user_code(self, connection: AsyncConnection, user_code: str, now: float) -> AskingDevice:
        """The device that shows a code and waits. Raises `NotFound`, whatever is wrong with the code."""
        typed = "".join(character for character in user_code.upper() if character.isalnum())
        query = select(oauth_device_codes).where(
            oauth_device_codes.c.user_code_mac == self._user_mac(typed),
            oauth_device_codes.c.state == "pending",
            oauth_device_codes.c.expires_at > int(now),
        )
        row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound("No device shows this code. Check it, or start again at the device.")
        return AskingDevice(row.device_code_mac, row.client_id, frozenset(row.scope.split()))

    async def asking(self, connection: AsyncConnection, device_code_mac: bytes, now: float) -> AskingDevice:
        """The device of a flow, while it waits. Raises `NotFound`."""
        query = select(oauth_device_codes).where(
            oauth_device_codes.c.device_code_mac == device_code_mac,
            oauth_device_codes.c.state == "pending",
            oauth_device_codes.c.expires_at > int(now),
        )
        row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound("The device waits no longer. Start again at the device.")
        return AskingDevice(row.device_code_mac, row.client_id, frozenset(row.scope.split()))

    async def decide(
        self,
        connection: AsyncConnection,
        device_code_mac: bytes,
        *,
        account_id: str,
        scope: frozenset[str],
        allow: bool,
        now: float,
    ) -> None:
        """Take the person's answer, once. Raises `NotFound` when the device waits no longer."""
        decided = await connection.execute(
            update(oauth_device_codes)
            .where(
                oauth_device_codes.c.device_code_mac == device_code_mac,
                oauth_device_codes.c.state == "pending",
                oauth_device_codes.c.expires_at > int(now),
            )
            .values(state="allowed" if allow else "denied", account_id=account_id, scope=show_scope(scope))
        )
        if decided.rowcount != 1:
            raise NotFound("The device waits no longer. Start again at the device.")

    def mac(self, device_code: str) -> bytes:
        """As a device code is stored. Raises `Malformed`."""
        return self._device_codes.mac(device_code)

    def _user_mac(self, user_code: str) -> bytes:
        return self._user_codes.mac_of_text(user_code)


class DeviceAuthorizationEndpoint:
    """``POST /oauth/device_authorization`` (section 3.1)."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        authentication: ClientAuthentication,
        proofs: Proofs,
        codes: DeviceCodes,
        resources: Resources,
        origin: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authentication = authentication
        self._proofs = proofs
        self._codes = codes
        self._resources = resources
        self._verification_uri = origin + VERIFICATION_PATH

    def routes(self) -> list[Route]:
        return [Route(DEVICE_AUTHORIZATION_PATH, answering(self._begin), methods=["POST"])]

    async def _begin(self, request: Request) -> Response:
        parameters = await form(request)
        proof = self._proofs.optional(request)
        client = (await self._authentication.client(request, parameters, proof=proof)).client
        if DEVICE_CODE not in client.grants:
            raise UnauthorizedClient("The client is not registered for this grant.")
        scope = allowed_scope(parameters.get("scope"), client.scope)
        if "scope" in parameters and scope & NEVER_BY_DEVICE_GRANT:
            raise InvalidScope("The device grant does not give this scope.")
        audience, now = await self._resources.audience(parameters), self._clock()
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, proof, now)
            device_code, user_code = await self._codes.make(
                connection,
                client_id=client.client_id,
                scope=scope - NEVER_BY_DEVICE_GRANT,
                audience=audience,
                jkt=None if proof is None else proof.jkt,
                now=now,
            )
        return reply(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": self._verification_uri,
                "verification_uri_complete": f"{self._verification_uri}?user_code={user_code}",
                "expires_in": CODE_TTL_S,
                "interval": INTERVAL_S,
            }
        )


class DeviceCodeGrant:
    """The device polls the token endpoint (section 3.4)."""

    def __init__(
        self, *, database: Database, clock: Clock, proofs: Proofs, codes: DeviceCodes, sessions: Sessions
    ) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._codes = codes
        self._sessions = sessions

    async def answer(self, request: TokenRequest) -> TokenAnswer:
        """Raises `AuthorizationPending`, `SlowDown`, `ExpiredToken`, `AccessDenied` or `InvalidGrant`."""
        now = self._clock()
        try:
            mac = self._codes.mac(required(request.parameters, "device_code"))
        except Malformed:
            raise InvalidGrant(_UNKNOWN) from None
        async with self._database.transaction() as connection:
            await self._proofs.spend(connection, request.proof, now)
            outcome = await self._poll(connection, mac, request, now)
        if isinstance(outcome, OAuthRefused):
            raise outcome
        return self._sessions.answer(
            outcome,
            refreshable=REFRESH in request.proven.client.grants,
            attested_until=request.proven.attested_until,
        )

    async def _poll(
        self, connection: AsyncConnection, mac: bytes, request: TokenRequest, now: float
    ) -> Session | OAuthRefused:
        """The session, or the refusal that goes with what this poll changed."""
        client, of_code = request.proven.client, oauth_device_codes.c.device_code_mac == mac
        row = (await connection.execute(select(oauth_device_codes).where(of_code).with_for_update())).first()
        if row is None or row.client_id != client.client_id or row.jkt not in (None, request.jkt):
            return InvalidGrant(_UNKNOWN)
        if row.expires_at <= now:
            return ExpiredToken("The device code has expired. Start again.")
        if now < row.poll_after:
            interval = row.interval_s + INTERVAL_S
            values = {"interval_s": interval, "poll_after": int(now) + interval}
            await connection.execute(update(oauth_device_codes).where(of_code).values(values))
            return SlowDown(f"Ask every {interval} s.")
        if row.state == "pending":
            values = {"poll_after": int(now) + row.interval_s}
            await connection.execute(update(oauth_device_codes).where(of_code).values(values))
            return AuthorizationPending("The person has not answered yet.")
        used = await connection.execute(delete(oauth_device_codes).where(of_code))
        if used.rowcount != 1:
            return InvalidGrant(_UNKNOWN)
        if row.state == "denied":
            return AccessDenied("The person said no.")
        return await self._sessions.begin(
            connection,
            session_id=new_session_id(),
            account_id=row.account_id,
            client=client,
            jkt=request.jkt,
            scope=frozenset(row.scope.split()),
            audience=row.audience,
            by="device_code",
            now=now,
        )
