"""Ending a device's access, whatever the reason, at once: every certificate, ticket and pending activation, the codes
that it made, and what was asked, sent or answered for it as a second factor; what was granted on it; and its
streams on every relay node."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.server.activation import store as activations
from admittance.server.audit.model import Detail
from admittance.server.audit.store import AuditLog
from admittance.server.devices import store as registry
from admittance.server.devices.model import DeviceRecord
from admittance.server.devices.sightings import forget_sightings
from admittance.server.enrolment import store
from admittance.server.enrolment.factors import store as factors
from admittance.server.enrolment.model import RevocationReason
from admittance.server.grants.endings import end_grants_at_device
from admittance.server.readings import store as readings
from admittance.server.revocations.store import record_ending


async def end_credentials(
    connection: AsyncConnection, device: DeviceRecord, reason: RevocationReason, now: float
) -> int:
    """End what was issued to the locked device, by it or for it. Returns how many certificates ended."""
    at, key = int(now), device.registry_key
    ended = await store.revoke_certificates(connection, key, reason, at)
    await activations.cancel_tickets(connection, key, at)
    await activations.cancel_activations(connection, key, at)
    await factors.end_codes(connection, device.device_id)
    await factors.end_questions(connection, key)
    await end_grants_at_device(connection, device.device_id, now)
    if ended or await store.newest_certificate(connection, key) is not None:
        await record_ending(connection, "device", device.device_id, now)
    return ended


class Endings:
    """Ends in the caller's transaction, on the locked device."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def end(
        self,
        connection: AsyncConnection,
        changed: DeviceRecord,
        *,
        event: str,
        actor: str,
        reason: RevocationReason,
        details: Mapping[str, Detail],
        now: float,
    ) -> None:
        """Write `changed` and end what was issued; of a device that is nobody's, forget what its owner left."""
        ended = await end_credentials(connection, changed, reason, now)
        await registry.change(connection, changed)
        if changed.account_id is None:
            await registry.forget_owner(connection, changed.registry_key)
            await forget_sightings(connection, changed.registry_key)
            await readings.forget(connection, changed.registry_key)
        await self._audit.append(
            connection,
            event=event,
            actor=actor,
            subject=f"device:{changed.device_id}",
            details={**details, "epoch": changed.epoch, "certificates_ended": ended},
            now=now,
        )
