"""A device as the people API shows it."""

from typing import Any

import msgspec

from admittance.server.enrolment.fleet import OwnedDevice
from admittance.server.enrolment.tpm.evidence import shown_evidence


def shown_device(owned: OwnedDevice, *, in_full: bool = False, to_operator: bool = False) -> dict[str, Any]:
    """With `in_full` also why it has its certificate, and what its TPM proved."""
    record, newest = owned.record, owned.certificate
    shown: dict[str, Any] = {
        "device_id": record.device_id,
        "model": record.model,
        "display_name": owned.display_name,
        "state": record.state,
        "assurance": record.assurance,
        "epoch": record.epoch,
        "activated_at": record.activated_at,
        "offline": owned.is_offline,
        "online": owned.is_online,
        "last_seen_at": owned.last_seen_at,
        "reported": record.reported,
        "release_at": record.release_at,
        "certificate": None,
    }
    if to_operator:
        shown["assigned_account_id"] = record.assigned_account_id
    if newest is not None and owned.is_certificate_live:
        shown["certificate"] = {"serial": newest.serial, "not_after_at": newest.not_after}
    if in_full and newest is not None:
        shown["enrolment"] = {"issued_at": newest.issued_at, **msgspec.json.decode(newest.decision)}
        if owned.attestation is not None:
            shown["enrolment"]["tpm"] = shown_evidence(owned.attestation, newest.request)
    return shown
