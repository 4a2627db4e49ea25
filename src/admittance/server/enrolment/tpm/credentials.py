"""Credential challenges (TPM2_MakeCredential): a secret that only one TPM can read, if it also holds a certain key.

What is stored of a challenge is what it was made for, and an HMAC of its secret. Challenges for device ids that
nobody made look and cost the same; they are of no use, since no identity answers for such an id.
"""

import hmac
from collections.abc import Callable, Sequence

from cryptography import x509

from admittance.protocol.tpm import keys
from admittance.protocol.tpm.certify import check_attestation_key
from admittance.protocol.tpm.credential import SECRET_BYTES, make_credential
from admittance.protocol.tpm.ek import check_ek
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store as registry
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.secrets import Dummies
from admittance.server.enrolment.tpm import store
from admittance.wire import cbor
from admittance.wire.device_id import check_device_id
from admittance.wire.device_id import registry_key as sha256
from admittance.wire.tpm.public import Public
from admittance.wire.tpm_enrolment import CredentialChallenge, CredentialRequest

CHALLENGE_TTL_S = 5 * 60
CHALLENGE_ID_BYTES = 16
MOST_OPEN = 16
"""Of one endorsement key: whoever asks for more loses the oldest ones, and only of TPMs that it knows."""


class ChallengeSecrets:
    """How secrets are stored. `key` is the keystore's key for codes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mac(self, challenge_id: bytes, secret: bytes) -> bytes:
        return hmac.digest(self._key, b"admittance/tpm-credential/1|" + challenge_id + secret, "sha256")


class Credentials:
    """`roots` are the CAs of the TPM makers that this server trusts; `random` gives n random bytes."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        roots: Sequence[x509.Certificate],
        secrets: ChallengeSecrets,
        dummies: Dummies,
        clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._roots = tuple(roots)
        self._secrets = secrets
        self._dummies = dummies
        self._clock = clock
        self._random = random

    async def challenge(self, request: CredentialRequest) -> CredentialChallenge:
        """A challenge to the TPM whose endorsement key a trusted maker certified.

        Raises `Malformed`, `EkRefused` or `KeyAttributesRefused`, whatever the device id.
        """
        device_id = check_device_id(request.device_id)
        now = self._clock()
        ek_public, ak_public = Public.decode(request.ek_public), Public.decode(request.ak_public)
        check_attestation_key(ak_public)
        check_ek(request.ek_chain, self._roots, ek_public, now)
        challenge_id, secret = self._random(CHALLENGE_ID_BYTES), self._random(SECRET_BYTES)
        id_object, encrypted_secret = make_credential(ek_public, ak_public.name, secret, self._random)
        ek_sha256 = sha256(keys.spki(ek_public))
        async with self._database.transaction() as connection:
            record = await registry.find(connection, device_id)
            await store.add_challenge(
                connection,
                challenge_id=challenge_id,
                device_id=device_id,
                secret_mac=self._secrets.mac(challenge_id, secret),
                ek_sha256=ek_sha256,
                ek_public=request.ek_public,
                ek_chain=cbor.encode(list(request.ek_chain)),
                ak_public=request.ak_public,
                expires_at=int(now) + CHALLENGE_TTL_S,
            )
            await store.forget_challenges(connection, ek_sha256, MOST_OPEN, int(now))
        model = self._guessed_model(device_id) if record is None else record.model
        return CredentialChallenge(challenge_id, id_object, encrypted_secret, self._pcrs(model))

    def _guessed_model(self, device_id: str) -> str:
        models = self._catalogue.models()
        return models[self._dummies.choice(device_id, len(models))].model if models else ""

    def _pcrs(self, name: str) -> str:
        model = self._catalogue.find(name)
        return "" if model is None or model.pcrs is None else str(model.pcrs.selections)
