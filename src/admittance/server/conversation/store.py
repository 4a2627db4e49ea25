"""What a conversation needs to know of its device."""

from sqlalchemy.ext.asyncio import AsyncConnection

from admittance.errors import Malformed
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.server.activation.store import last_evidence
from admittance.server.devices import store as registry
from admittance.server.devices.model import ENDED


async def channel_spki(connection: AsyncConnection, device_id: str) -> bytes | None:
    """The channel key (SPKI) that the device's newest evidence told.

    Of a device that is nobody's the registry has forgotten it; the evidence that is kept still tells.
    """
    record = await registry.find(connection, device_id)
    if record is None:
        return None
    if record.channel_spki is not None:
        return record.channel_spki
    evidence = await last_evidence(connection, record.registry_key)
    if evidence is None:
        return None
    try:
        return read_evidence(evidence).evidence.public_keys.channel or None
    except Malformed:
        return None


async def has_ended(connection: AsyncConnection, device_id: str, epoch: int) -> bool:
    """Whether all that was given in that epoch has ended: the device is nobody's, another's, stolen or revoked.

    A new certificate in the same epoch, for a device that was reset or renews, ends the old one and not the epoch.
    """
    record = await registry.find(connection, device_id)
    if record is None or record.epoch != epoch or record.account_id is None:
        return True
    return record.state in ENDED or record.reported == "stolen"
