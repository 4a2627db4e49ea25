"""The device's proof of itself to a relay node: a signature by the operational key, in a file or in the TPM."""

import asyncio

from admittance.device.keys import Made, load_private_key
from admittance.device.state import Operational
from admittance.protocol.signing import Signer, SoftwareSigner
from admittance.wire.relay import RelayProof, proof_input


async def prove(
    made: Made, operational: Operational, epoch: int, nonce: bytes, certificate_sha256: bytes
) -> RelayProof:
    """The first frame of a device on the connection of `nonce`. With a TPM this raises `TpmUnavailable`,
    `TpmRefused`, or `TpmKeyLost`."""
    device_id = made.birth.device_id
    data = proof_input(nonce, certificate_sha256, device_id, epoch)
    signature = (
        await asyncio.to_thread(_sign, made, operational, data) if made.tpm else _sign(made, operational, data)
    )
    return RelayProof(list(operational.chain), device_id, epoch, signature)


def _sign(made: Made, operational: Operational, data: bytes) -> bytes:
    signer: Signer
    if made.tpm is None:
        signer = SoftwareSigner(load_private_key(operational.key))
    else:
        signer = made.tpm.signer(operational.key)
    return signer.sign(data)
