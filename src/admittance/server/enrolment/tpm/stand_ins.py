"""Endorsement keys for device ids that have none, so that a challenge does not tell which device exists."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from admittance.server.devices.secrets import Dummies
from admittance.wire.tpm import algorithms as alg
from admittance.wire.tpm.public import Attributes, EccParameters, Public, RsaParameters, Symmetric

_AK_NAME = alg.SHA256.to_bytes(2) + bytes(alg.DIGEST_BYTES[alg.SHA256])
_RSA_BITS = 2048


class StandIns:
    """Keys whose private parts are thrown away; a device id always gets one of the same kind."""

    def __init__(self, dummies: Dummies) -> None:
        self._dummies = dummies
        self._keys = (
            _rsa(),
            _ecc(ec.SECP256R1(), alg.NIST_P256, alg.SHA256),
            _ecc(ec.SECP384R1(), alg.NIST_P384, alg.SHA384),
        )

    def endorsement(self, device_id: str) -> tuple[Public, bytes]:
        """The public area of an endorsement key, and the name of an attestation key."""
        return self._keys[self._dummies.choice(device_id, len(self._keys))], _AK_NAME


def _rsa() -> Public:
    modulus = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS).public_key().public_numbers().n
    parameters = RsaParameters(Symmetric(128), None, _RSA_BITS, modulus.to_bytes(_RSA_BITS // 8))
    return Public(alg.SHA256, _ATTRIBUTES, b"", parameters)


def _ecc(curve: ec.EllipticCurve, curve_id: int, name_alg: int) -> Public:
    point = ec.generate_private_key(curve).public_key().public_numbers()
    size = alg.COORDINATE_BYTES[curve_id]
    bits = 128 if name_alg == alg.SHA256 else 256
    parameters = EccParameters(Symmetric(bits), None, curve_id, point.x.to_bytes(size), point.y.to_bytes(size))
    return Public(name_alg, _ATTRIBUTES, b"", parameters)


_ATTRIBUTES = Attributes.RESTRICTED | Attributes.DECRYPT
