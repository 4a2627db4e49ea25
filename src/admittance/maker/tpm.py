"""Manufacturing software TPMs: a fresh TPM, its endorsement key certified by the maker's test CA."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from admittance.maker.endorsement import EndorsementAuthority
from admittance.protocol.tpm.keys import load
from admittance.tpm import endorsement
from admittance.tpm.connection import converse
from admittance.tpm.keys import read_identity
from admittance.tpm.software import software_tpm
from admittance.wire.birth import EkKind
from admittance.wire.tpm.public import Public


@dataclass(frozen=True)
class MadeTpm:
    """What the maker learns of a TPM: its identity key (SPKI) and its endorsement certificate (DER)."""

    identity_spki: bytes
    ek_certificate: bytes


def manufacture(state: Path, kind: EkKind, authority: EndorsementAuthority, now: datetime.datetime) -> MadeTpm:
    """Make a software TPM in the folder `state`.

    Raises `ConfigurationError` if swtpm is not installed, `TpmUnavailable` or `TpmRefused`.
    """
    with software_tpm(state) as tcti, converse(tcti) as tpm:
        with endorsement.made(tpm, kind) as key:
            public = Public.decode(key.public.publicArea.marshal())
        certificate = authority.certify(load(public), now)
        endorsement.install(tpm, kind, certificate)
        return MadeTpm(read_identity(tpm), certificate)
