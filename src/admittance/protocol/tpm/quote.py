"""TPM2_Quote: what a platform booted, against a model's reference values."""

from collections.abc import Iterable
from dataclasses import dataclass

from admittance.errors import AttestationMissing, Malformed, PcrMismatch
from admittance.protocol.tpm.certify import AttestationKey, check_nonce
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.attest import Attest, QuoteInfo
from admittance.wire.tpm.pcr import PcrSelections


@dataclass(frozen=True, slots=True)
class PcrPolicy:
    """The selection that a quote must cover, and the composite digests that are good.

    A digest is over the selected PCRs' values, one after the other, with the hash of the attestation key's scheme
    (as `tpm2_quote` prints it). Several digests let firmware versions live side by side.
    """

    selections: PcrSelections
    digests: frozenset[bytes]

    @classmethod
    def parse(cls, selections: str, digests: Iterable[str]) -> "PcrPolicy":
        """From the text forms, such as ``sha256:0,7`` and hexadecimal digests. Raises `Malformed`."""
        try:
            values = frozenset(bytes.fromhex(digest) for digest in digests)
        except ValueError as error:
            raise Malformed("a PCR reference value that is not hexadecimal") from error
        if not values or any(len(value) not in alg.DIGEST_BYTES.values() for value in values):
            raise Malformed("a PCR policy needs one reference value or more, each a whole digest")
        return cls(PcrSelections.parse(selections), values)


def verify_quote(
    *, attest: bytes, signature: bytes, ak: AttestationKey, nonce: bytes, policy: PcrPolicy
) -> tuple[QuoteInfo, Attest]:
    """Check that `ak` quoted, over `nonce`, exactly the policy's PCRs with one of its digests.

    Raises `Malformed`, `SignatureInvalid`, `StaleAttestation`, `PcrMismatch` or `AttestationMissing`.
    """
    ak.verify(attest, signature)
    statement = Attest.decode(attest)
    check_nonce(statement, nonce)
    quote = statement.attested
    if not isinstance(quote, QuoteInfo):
        raise AttestationMissing("A TPM2_Quote statement is expected, and another came.")
    if quote.selections != policy.selections:
        raise PcrMismatch("The quote covers other PCRs than the model's reference values.")
    if quote.pcr_digest not in policy.digests:
        raise PcrMismatch("The device booted something else than the model's reference values.")
    return quote, statement
