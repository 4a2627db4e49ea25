"""Tokens for devices that the server never reaches: the key travels in the token, encrypted to the device.

A token gets the next of the device's sequences, as the keys of online devices do, and is remembered until it ends, so
that the epoch list can tell what was ended before. A grant that counts uses gives none: nobody could ask the device.
"""

import secrets
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed, NotAllowed, NotFound, Unavailable
from admittance.protocol.access.encrypted_key import NONCE_BYTES
from admittance.protocol.access.epoch_list import sign_epoch_list
from admittance.protocol.access.offline_token import MAX_EXI_S, OfflineGrant, issue
from admittance.protocol.access.possession import SHARE_BYTES
from admittance.protocol.signing import SoftwareSigner
from admittance.server.access.ports import DeviceToken, DeviceTokenRequest, DeviceTokens
from admittance.server.audit.store import AuditLog
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.grants import key_store, store
from admittance.server.grants.actions import actions_of
from admittance.server.grants.choosing import Chosen, choose
from admittance.server.grants.device_tokens import TOKEN_BYTES, key_of, locked, secret_of
from admittance.server.grants.key_store import AccessRecord
from admittance.server.grants.offline_jwt import encode_jwt
from admittance.server.grants.pushes import key_context
from admittance.server.grants.service import subject_of
from admittance.server.keys.envelope import Envelope
from admittance.wire import base64url
from admittance.wire.cwt import OfflineStanding
from admittance.wire.device_id import check_device_id
from admittance.wire.offline import EpochList

CWT: Final = "cwt"
JWT: Final = "jwt"
OFFLINE_FORMATS: Final = (CWT, JWT)
NO_GRANT: Final = "You were granted nothing on such a device."


class OfflineDeviceTokens:
    """`access.ports.DeviceTokens` for devices of an offline model."""

    def __init__(
        self,
        *,
        origin: str,
        key: ec.EllipticCurvePrivateKey,
        database: Database,
        audit: AuditLog,
        envelope: Envelope,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._origin = origin
        self._key = key
        self._signer = SoftwareSigner(key)
        self._database = database
        self._audit = audit
        self._envelope = envelope
        self._clock = clock
        self._random = random

    async def issue(self, request: DeviceTokenRequest) -> DeviceToken:
        """See `DeviceTokens.issue`; `Unavailable` where the device told no access key yet."""
        if request.token_format not in (None, *OFFLINE_FORMATS):
            raise NotAllowed("This device takes no tokens by reference: it can't ask about them.")
        now = self._clock()
        async with self._database.transaction() as connection:
            access = await locked(connection, request, now)
            grants = await store.of_guest(connection, request.device_id, request.account_id, now)
            chosen = choose(
                grants, request.device_id, request.actions, attested_until=request.attested_until, now=now
            )
            if chosen.grant.terms.uses:
                raise NotAllowed("This device can't tell how often it was used: the grant must not count uses.")
            record = await registry.find(connection, request.device_id)
            if record is None or record.access_spki is None:
                raise Unavailable("The device has to be provisioned again before tokens for it can be made.")
            server_share = self._random(SHARE_BYTES)
            secret = secret_of(request, chosen, server_share)
            granted = await self._remember(connection, request, access, chosen, secret, now)
            epoch_list = await self._epoch_list(connection, access, now)
        token = self._encoded(request, granted, secret, record.access_spki)
        return DeviceToken(
            access_token=token,
            expires_at=granted.expires_at,
            actions=actions_of(granted.scope),
            server_share=server_share,
            grant_id=chosen.grant.shown_id,
            epoch_list=epoch_list,
        )

    async def epoch_list(self, device_id: str) -> bytes:
        """What has ended on the device, signed. Raises `NotFound`."""
        async with self._database.read() as connection:
            access = await key_store.find(connection, device_id)
            if access is None:
                raise NotFound(NO_GRANT)
            return await self._epoch_list(connection, access, self._clock())

    async def _remember(
        self,
        connection: AsyncConnection,
        request: DeviceTokenRequest,
        access: AccessRecord,
        chosen: Chosen,
        secret: bytes,
        now: float,
    ) -> OfflineGrant:
        """Note the token under the device's next sequence, and in the audit log."""
        grant, token = chosen.grant, self._random(TOKEN_BYTES)
        sequence = await key_store.advance(connection, access, int(now))
        expires_at = chosen.expires_at(now, request.attested_until)
        sealed = self._envelope.seal(secret, key_context(token))
        key = key_of(
            request, access, chosen, token=token, sealed=sealed, uses=0, expires_at=expires_at, added=sequence
        )
        await key_store.add_key(connection, key)
        await self._audit.append(
            connection,
            event="grant.token_issued",
            actor=f"account:{request.account_id}",
            subject=subject_of(grant.grant_id),
            details={
                "device": request.device_id,
                "client": request.client_id,
                "actions": ", ".join(actions_of(chosen.permissions)),
                "expires_at": expires_at,
                "offline": True,
            },
            now=now,
        )
        return OfflineGrant(
            issuer=self._origin,
            audience=f"{self._origin}/d/{request.device_id}",
            token=token,
            name=grant.terms.name,
            standing=OfflineStanding(access.epoch, sequence, grant.grant_id),
            scope=chosen.permissions,
            issued_at=int(now),
            not_before=int(now),
            expires_at=expires_at,
            cnonce=request.cnonce,
            exi_s=min(MAX_EXI_S, expires_at - int(now)) if request.cnonce else None,
        )

    async def _epoch_list(self, connection: AsyncConnection, access: AccessRecord, now: float) -> bytes:
        ended = await key_store.latest_ended(connection, access.device_id, access.epoch, int(now))
        told = EpochList(access.device_id, access.epoch, ended + 1, int(now))
        return sign_epoch_list(told, self._signer)

    def _encoded(self, request: DeviceTokenRequest, granted: OfflineGrant, secret: bytes, access_spki: bytes) -> str:
        if request.token_format == JWT:
            return encode_jwt(granted, secret, self._key, access_spki)
        ephemeral = ec.generate_private_key(ec.SECP256R1())
        nonce = self._random(NONCE_BYTES)
        return base64url.encode(issue(granted, secret, self._signer, access_spki, ephemeral=ephemeral, nonce=nonce))


class DeviceTokensByModel:
    """`access.ports.DeviceTokens`: offline tokens for devices of `offline_models`, pushed keys for all others."""

    def __init__(
        self, *, database: Database, online: DeviceTokens, offline: DeviceTokens, offline_models: frozenset[str]
    ) -> None:
        self._database = database
        self._online = online
        self._offline = offline
        self._offline_models = offline_models

    async def issue(self, request: DeviceTokenRequest) -> DeviceToken:
        """See `DeviceTokens.issue`."""
        try:
            check_device_id(request.device_id)
        except Malformed:
            raise NotFound(NO_GRANT) from None
        async with self._database.read() as connection:
            record = await registry.find(connection, request.device_id)
        is_offline = record is not None and record.model in self._offline_models
        return await (self._offline if is_offline else self._online).issue(request)
