"""TPMS_ATTEST: what a TPM says under the signature of an attestation key."""

from dataclasses import dataclass
from struct import Struct

from admittance.errors import Malformed
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.codec import Reader, sized, uint16, uint32, uint64
from admittance.wire.tpm.pcr import PcrSelections

# TPM_GENERATED_VALUE: a restricted key signs nothing from outside that starts with it (part 2, section 6.2).
_GENERATED = 0xFF544347
_ST_CERTIFY = 0x8017
_ST_QUOTE = 0x8018
_MAX_NAME_BYTES = 2 + alg.MAX_DIGEST_BYTES
_MAX_DATA_BYTES = _MAX_NAME_BYTES
_HEAD = Struct(">IH")
_CLOCK_AND_FIRMWARE = Struct(">QIIBQ")


@dataclass(frozen=True, slots=True)
class CertifyInfo:
    """TPMS_CERTIFY_INFO (part 2, section 10.12.3): the object with this name is in this TPM."""

    name: bytes
    qualified_name: bytes


@dataclass(frozen=True, slots=True)
class QuoteInfo:
    """TPMS_QUOTE_INFO (part 2, section 10.12.4): digest over the values of the selected PCRs."""

    selections: PcrSelections
    pcr_digest: bytes


@dataclass(frozen=True, slots=True)
class ClockInfo:
    """TPMS_CLOCK_INFO (part 2, section 10.11.1); `clock` counts milliseconds of power."""

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Attest:
    """TPMS_ATTEST (part 2, section 10.12.12), of type certify or quote. `extra_data` is the caller's nonce."""

    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    attested: CertifyInfo | QuoteInfo

    @classmethod
    def decode(cls, data: bytes) -> "Attest":
        """Decode an attestation. Raises `Malformed`, also where the TPM's magic value is missing."""
        reader = Reader(data, "TPMS_ATTEST")
        magic, kind = reader.unpack(_HEAD)
        if magic != _GENERATED:
            raise Malformed("TPMS_ATTEST that no TPM generated")
        qualified_signer = _name(reader)
        extra_data = reader.sized(_MAX_DATA_BYTES)
        clock, reset_count, restart_count, safe, firmware_version = reader.unpack(_CLOCK_AND_FIRMWARE)
        if safe not in (0, 1):
            raise Malformed("TPMS_CLOCK_INFO with a flag that is neither 0 nor 1")
        clock_info = ClockInfo(clock, reset_count, restart_count, safe == 1)
        attested = _attested(reader, kind)
        reader.finish()
        return cls(qualified_signer, extra_data, clock_info, firmware_version, attested)

    def encode(self) -> bytes:
        attested, clock = self.attested, self.clock_info
        if isinstance(attested, CertifyInfo):
            kind, body = _ST_CERTIFY, sized(attested.name) + sized(attested.qualified_name)
        else:
            kind, body = _ST_QUOTE, attested.selections.encode() + sized(attested.pcr_digest)
        return b"".join(
            [
                uint32(_GENERATED),
                uint16(kind),
                sized(self.qualified_signer),
                sized(self.extra_data),
                uint64(clock.clock),
                uint32(clock.reset_count),
                uint32(clock.restart_count),
                bytes([clock.safe]),
                uint64(self.firmware_version),
                body,
            ]
        )


def _attested(reader: Reader, kind: int) -> CertifyInfo | QuoteInfo:
    if kind == _ST_CERTIFY:
        return CertifyInfo(_name(reader), _name(reader))
    if kind == _ST_QUOTE:
        selections = PcrSelections.read(reader)
        pcr_digest = reader.sized(alg.MAX_DIGEST_BYTES)
        if len(pcr_digest) not in alg.DIGEST_BYTES.values():
            raise Malformed("TPMS_QUOTE_INFO whose PCR digest has the size of no allowed hash")
        return QuoteInfo(selections, pcr_digest)
    raise Malformed(f"TPMS_ATTEST of type {kind:#06x}, which is not allowed")


def _name(reader: Reader) -> bytes:
    """The name of an object: a hash algorithm and a digest of it."""
    name = reader.sized(_MAX_NAME_BYTES)
    if len(name) < 2 or len(name) - 2 != alg.DIGEST_BYTES[alg.check_hash(int.from_bytes(name[:2]))]:
        raise Malformed("TPMS_ATTEST with a name that is not a hash algorithm and its digest")
    return name
