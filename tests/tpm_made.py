"""Software TPMs as the maker makes them, and what is loaded in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tpm2_pytss.ESAPI import ESAPI

from admittance.maker.endorsement import EndorsementAuthority, init_endorsement, open_endorsement
from admittance.maker.tpm import manufacture
from admittance.tpm.connection import ESYS_TR, TPM2_HC, TPM2_HT, Conversation, converse
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind

NOW = datetime.now(UTC).replace(microsecond=0)


def authority(folder: Path) -> EndorsementAuthority:
    """The EK CA in `folder`, made if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    init_endorsement(folder, "ACME", NOW)
    return open_endorsement(folder)


@contextmanager
def made_tpm(folder: Path, kind: EkKind = "p256") -> Iterator[str]:
    """A running TPM of that maker; gives its TCTI."""
    manufacture(folder / "tpm", kind, authority(folder / "maker"), NOW)
    with software_tpm(folder / "tpm") as tcti:
        yield tcti


def loaded(tcti: str) -> int:
    """How many transient objects and sessions the TPM holds, asked without flushing what was left behind."""
    with ESAPI(tcti) as esapi:
        tpm = Conversation(esapi)
        kinds = (TPM2_HC.TRANSIENT_FIRST, TPM2_HT.LOADED_SESSION << 24, TPM2_HT.SAVED_SESSION << 24)
        return sum(len(tpm.handles(kind)) for kind in kinds)


def clear(tcti: str) -> None:
    """TPM2_Clear, as tpm2_clear does it."""
    with converse(tcti) as tpm:
        tpm.esapi.clear(ESYS_TR.LOCKOUT)
