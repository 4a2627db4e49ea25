"""The models that this server takes, and the makers whose certificates vouch for their identities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from admittance.errors import Malformed, SignatureInvalid
from admittance.protocol.tpm.quote import PcrPolicy
from admittance.server.devices.model import Assurance
from admittance.wire.device_id import device_id
from admittance.wire.enrolment import FactorKind


@dataclass(frozen=True)
class DeviceModel:
    """A model of device. `makers` names the makers that may certify it.

    `second_factor` lists the kinds of which an enrolment needs one; on a model with a `keyboard` people can log in.
    Devices of an `offline` model never reach the server.
    `pcrs` are the reference values of what its devices boot, or None.
    """

    model: str
    display_name: str
    manual_url: str
    presence: str
    minimum_assurance: Assurance
    makers: tuple[str, ...]
    second_factor: tuple[FactorKind, ...] = ()
    keyboard: bool = False
    offline: bool = False
    pcrs: PcrPolicy | None = None


@dataclass(frozen=True)
class CertifiedIdentity:
    """An identity that a trusted maker certified for a model."""

    spki: bytes
    model: str


class Catalogue:
    """`models` by name; `makers` maps a maker's name to its CA certificate."""

    def __init__(self, models: Sequence[DeviceModel], makers: Mapping[str, x509.Certificate]) -> None:
        self._models = {model.model: model for model in models}
        self._makers = dict(makers)

    def models(self) -> tuple[DeviceModel, ...]:
        return tuple(self._models.values())

    def find(self, model: str) -> DeviceModel | None:
        return self._models.get(model)

    def display_name(self, model: str) -> str:
        known = self._models.get(model)
        return model if known is None else known.display_name

    def verify_identity(self, certificate_der: bytes, now: float) -> CertifiedIdentity:
        """The identity in a maker's certificate (IEEE 802.1AR IDevID).

        The certificate names its model as common name and the device id as serial number, is issued
        directly by a maker that may certify this model, and isn't a CA's itself. An IDevID has no end of
        life (802.1AR, section 8.7), so only `not_before` is compared with the clock.
        Raises `Malformed` if it does not decode, `SignatureInvalid` if nobody trusted vouches for it.
        """
        try:
            certificate = x509.load_der_x509_certificate(certificate_der)
            subject = certificate.subject
            spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            is_authority = _is_authority(certificate)
            starts = certificate.not_valid_before_utc
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Malformed("The identity certificate does not decode.") from error
        model = _attribute(subject, NameOID.COMMON_NAME)
        if _attribute(subject, NameOID.SERIAL_NUMBER) != device_id(spki):
            raise SignatureInvalid("The identity certificate names another device id than its key has.")
        if is_authority or starts > datetime.fromtimestamp(now, UTC):
            raise SignatureInvalid("The identity certificate is an authority's, or not valid yet.")
        known = self._models.get(model)
        if known is None or not self._issued_by_any(certificate, known.makers):
            raise SignatureInvalid("No maker that may certify this model issued the identity certificate.")
        return CertifiedIdentity(spki, model)

    def _issued_by_any(self, certificate: x509.Certificate, makers: Sequence[str]) -> bool:
        return any(_issued_by(certificate, self._makers[name]) for name in makers if name in self._makers)


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return _is_authority(authority)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    values = name.get_attributes_for_oid(oid)
    return str(values[0].value) if len(values) == 1 else ""
