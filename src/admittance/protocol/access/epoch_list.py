"""The signed epoch list: revocations that any client may bring to a device without a way to its server."""

from collections.abc import Collection

from admittance.errors import WrongDevice
from admittance.protocol.access.offline_token import verify_signed
from admittance.protocol.signing import Signer, sign1
from admittance.wire import message
from admittance.wire.channel import kid_of
from admittance.wire.offline import MAX_EPOCH_LIST_BYTES, EpochList


def sign_epoch_list(epoch_list: EpochList, signer: Signer) -> bytes:
    """COSE_Sign1 by the server's device token key."""
    return sign1(signer, message.encode(epoch_list), kid=kid_of(signer.spki))


def verify_epoch_list(data: bytes, device_id: str, token_keys: Collection[bytes]) -> EpochList:
    """The list, if it is the server's and about this device.

    Raises `Malformed`, `SignatureInvalid` or `WrongDevice`.
    """
    payload = verify_signed(data, token_keys, MAX_EPOCH_LIST_BYTES)
    epoch_list = message.decode(payload, EpochList, MAX_EPOCH_LIST_BYTES)
    if epoch_list.device_id != device_id:
        raise WrongDevice("The epoch list is another device's.")
    return epoch_list
