"""Tokens for devices that are online: a key is made, the device is told of it, and only then the token given out.

1. The guest's grants are looked up; of one that counts uses, the device is asked how often it was used.
2. In one transaction, with the device's row locked: a grant is chosen, the login's older key under it ends, the new
   one is stored, encrypted, under the device's next sequence.
3. The device is told, and acknowledges within 5 s. Otherwise the key is withdrawn again.
4. The token is given out, unless its grant was ended meanwhile.

A server that dies between 2 and 4 leaves a key that nobody knows.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import (
    AdmittanceError,
    Expired,
    Malformed,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from admittance.protocol.access.possession import SHARE_BYTES, master_secret
from admittance.server.access.ports import DeviceToken, DeviceTokenRequest
from admittance.server.access.tables import oauth_sessions
from admittance.server.audit.model import Detail
from admittance.server.audit.seldom import Seldom
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.grants import key_store, store
from admittance.server.grants.actions import actions_of
from admittance.server.grants.choosing import Chosen, choose
from admittance.server.grants.endings import end_keys
from admittance.server.grants.key_store import AccessRecord, PossessionKey
from admittance.server.grants.model import Grant
from admittance.server.grants.pushes import AGAIN_AFTER_S, Pushes, key_context
from admittance.server.grants.service import subject_of
from admittance.server.keys.envelope import Envelope
from admittance.wire import base64url
from admittance.wire.access import MAX_KEYS
from admittance.wire.device_id import check_device_id

TOKEN_BYTES = 16
_NO_GRANT = "You were granted nothing on such a device."


@dataclass(frozen=True, repr=False)
class _Issued:
    """What step 2 made."""

    token: bytes
    server_share: bytes
    sequence: int
    chosen: Chosen
    expires_at: int


class OnlineDeviceTokens:
    """`access.ports.DeviceTokens` for devices that the server reaches."""

    def __init__(
        self,
        *,
        database: Database,
        audit: AuditLog,
        envelope: Envelope,
        pushes: Pushes,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._audit = audit
        self._envelope = envelope
        self._pushes = pushes
        self._clock = clock
        self._random = random
        self._refusals = Seldom()

    async def issue(self, request: DeviceTokenRequest) -> DeviceToken:
        """See `DeviceTokens.issue`; also raises `QuotaExceeded` where the device has no room for a key."""
        try:
            check_device_id(request.device_id)
        except Malformed:
            raise NotFound(_NO_GRANT) from None
        if request.token_format not in (None, "reference"):
            raise NotAllowed("This device takes tokens by reference alone.")
        counted = await self._count_uses(request)
        issued = await self._store(request, counted)
        try:
            await self._pushes.tell(request.device_id, issued.sequence)
        except AdmittanceError as error:
            await self._withdraw(request, issued)
            raise error if isinstance(error, Unavailable) else Unavailable(_NOT_TAKEN) from error
        async with self._database.read() as connection:
            key = await key_store.key(connection, issued.token)
        if key is None or key.ended is not None:
            raise NotFound(_NO_GRANT)
        return DeviceToken(
            access_token=base64url.encode(issued.token),
            expires_at=issued.expires_at,
            actions=actions_of(issued.chosen.permissions),
            server_share=issued.server_share,
            grant_id=issued.chosen.grant.shown_id,
        )

    async def _count_uses(self, request: DeviceTokenRequest) -> Mapping[bytes, int] | None:
        """How often the device counts that grants were used; None where nothing is counted."""
        now = self._clock()
        async with self._database.read() as connection:
            grants = await store.of_guest(connection, request.device_id, request.account_id, now)
        if not any(grant.terms.uses and grant.interval(now) for grant in grants):
            return None
        state = await self._pushes.ask(request.device_id)
        return {use.grant: use.used for use in state.used}

    async def _store(self, request: DeviceTokenRequest, counted: Mapping[bytes, int] | None) -> _Issued:
        now = self._clock()
        try:
            async with self._database.transaction() as connection:
                access = await locked(connection, request, now)
                grants = await store.of_guest(connection, request.device_id, request.account_id, now)
                if not grants and await store.had_any(connection, request.device_id, request.account_id):
                    raise Expired("What you were granted on this device has ended.")
                chosen = choose(
                    grants, request.device_id, request.actions, attested_until=request.attested_until, now=now
                )
                return await self._add(connection, request, access, chosen, counted, now)
        except (NotAllowed, Expired) as error:
            await self._note_refusal(request, error, now)
            raise

    async def _add(
        self,
        connection: AsyncConnection,
        request: DeviceTokenRequest,
        access: AccessRecord,
        chosen: Chosen,
        counted: Mapping[bytes, int] | None,
        now: float,
    ) -> _Issued:
        grant = chosen.grant
        mine = and_(key_store.of_grant(grant.grant_id), key_store.of_session(request.session_id))
        sequence = await key_store.advance(connection, access, int(now) + AGAIN_AFTER_S)
        await key_store.end_keys(connection, request.device_id, sequence, mine)
        held = await key_store.held(connection, request.device_id, access.epoch)
        if sum(each.expires_at > now for each in held) >= MAX_KEYS:
            raise QuotaExceeded("This device has as many keys as it can hold. Try again later.")
        uses = await self._uses(connection, chosen, counted)
        token, server_share = self._random(TOKEN_BYTES), self._random(SHARE_BYTES)
        secret = secret_of(request, chosen, server_share)
        expires_at = chosen.expires_at(now, request.attested_until)
        sealed = self._envelope.seal(secret, key_context(token))
        key = key_of(
            request, access, chosen, token=token, sealed=sealed, uses=uses, expires_at=expires_at, added=sequence
        )
        await key_store.add_key(connection, key)
        details: dict[str, Detail] = {
            "device": request.device_id,
            "client": request.client_id,
            "actions": ", ".join(actions_of(chosen.permissions)),
            "expires_at": expires_at,
        }
        await self._append(connection, "grant.token_issued", request, grant, details, now)
        return _Issued(token, server_share, sequence, chosen, expires_at)

    async def _uses(self, connection: AsyncConnection, chosen: Chosen, counted: Mapping[bytes, int] | None) -> int:
        """How often the grant allows a use in all, as the device is told: it counts over all keys of a grant.

        A device may forget how often a grant without a key was used; then it is told what is left.
        """
        grant, allowed = chosen.grant, chosen.allowed
        if not grant.terms.uses:
            return 0
        uncounted = allowed.uncounted
        if counted is None:
            raise Unavailable(_NOT_TAKEN)
        if counted.get(grant.grant_id, 0) < allowed.used - uncounted:
            await store.note_forgotten(connection, grant.grant_id, allowed.device_id)
            uncounted = allowed.used
        return grant.terms.uses - uncounted

    async def _withdraw(self, request: DeviceTokenRequest, issued: _Issued) -> None:
        """The device did not acknowledge: if it has the key, it is to lose it."""
        now = self._clock()
        async with self._database.transaction() as connection:
            await end_keys(connection, request.device_id, key_store.of_token(issued.token), now)
            details: dict[str, Detail] = {"device": request.device_id, "client": request.client_id}
            await self._append(
                connection, "grant.token_withdrawn", request, issued.chosen.grant, details, now, actor="server"
            )

    async def _note_refusal(self, request: DeviceTokenRequest, error: AdmittanceError, now: float) -> None:
        if not self._refusals.is_due((request.account_id, request.device_id, error.code), now):
            return
        async with self._database.transaction() as connection:
            await self._audit.append(
                connection,
                event="grant.refused",
                actor=f"account:{request.account_id}",
                subject=f"device:{request.device_id}",
                details={"reason": error.code, "client": request.client_id},
                now=now,
            )

    async def _append(
        self,
        connection: AsyncConnection,
        event: str,
        request: DeviceTokenRequest,
        grant: Grant,
        details: dict[str, Detail],
        now: float,
        *,
        actor: str = "",
    ) -> None:
        await self._audit.append(
            connection,
            event=event,
            actor=actor or f"account:{request.account_id}",
            subject=subject_of(grant.grant_id),
            details=details,
            now=now,
        )


async def locked(connection: AsyncConnection, request: DeviceTokenRequest, now: float) -> AccessRecord:
    """What the device was told, locked; it is active, in the epoch of its grants, and nobody reported it stolen.
    The login is locked before: it can't end unnoticed.

    Raises `NotFound`.
    """
    await _lock_session(connection, request.session_id, now)
    access = await key_store.find(connection, request.device_id, lock=True)
    record = await registry.find(connection, request.device_id)
    if access is None or record is None or record.epoch != access.epoch:
        raise NotFound(_NO_GRANT)
    if record.state != "active" or record.reported == "stolen" or record.owner(now) is None:
        raise NotFound(_NO_GRANT)
    return access


def secret_of(request: DeviceTokenRequest, chosen: Chosen, server_share: bytes) -> bytes:
    """The master secret of a key: of both shares, for who asked, under what was chosen."""
    return master_secret(
        server_share,
        client_share=request.client_share,
        device_id=request.device_id,
        client=request.client_id,
        grant=chosen.grant.grant_id,
    )


def key_of(
    request: DeviceTokenRequest,
    access: AccessRecord,
    chosen: Chosen,
    *,
    token: bytes,
    sealed: bytes,
    uses: int,
    expires_at: int,
    added: int,
) -> PossessionKey:
    """The key that a token is bound to, as it is stored: for who asked, under what was chosen."""
    return PossessionKey(
        token=token,
        device_id=request.device_id,
        grant_id=chosen.grant.grant_id,
        epoch=access.epoch,
        account_id=request.account_id,
        client_id=request.client_id,
        session_id=request.session_id,
        sealed=sealed,
        permissions=chosen.permissions,
        name=chosen.grant.terms.name,
        uses=uses,
        not_before=chosen.interval.begins_at,
        expires_at=expires_at,
        added=added,
    )


async def _lock_session(connection: AsyncConnection, session_id: str, now: float) -> None:
    """Raises `NotFound` for a login that has ended."""
    values = {"sought": session_id, "now": int(now)}
    if (await connection.execute(_LOCK_SESSION, values)).first() is None:
        raise NotFound(_NO_GRANT)


_LOCK_SESSION = (
    select(oauth_sessions.c.session_id)
    .where(oauth_sessions.c.session_id == bindparam("sought"), oauth_sessions.c.expires_at > bindparam("now"))
    .with_for_update(read=True)
)
_NOT_TAKEN = "The device did not take the access in time. Try again."
