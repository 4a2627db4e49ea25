"""Setting up: what a logged-in person is told about the device whose setup code was scanned."""

from admittance.errors import ConfigurationError
from admittance.protocol.provisioning.codes import PossessionCode, button_code
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.devices import store
from admittance.server.devices.catalogue import Catalogue
from admittance.server.devices.model import AccessPoint, DeviceRecord, Setup
from admittance.server.devices.secrets import Dummies, SecretBox
from admittance.wire.device_id import check_device_id
from admittance.wire.manifest import DeviceSecrets


class SetupService:
    """Answers about setup codes, the same way whether the device exists or not.

    Unknown devices, ended or stolen ones and other people's get stable dummies, after the same work.
    """

    def __init__(
        self, *, database: Database, catalogue: Catalogue, secrets: SecretBox, dummies: Dummies, clock: Clock
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._secrets = secrets
        self._dummies = dummies
        self._clock = clock
        self._stand_in = secrets.seal(_STAND_IN_ID, dummies.secrets(_STAND_IN_ID))

    async def setup(self, device_id: str, account_id: str) -> Setup:
        """How to reach the device's access point. Raises `Malformed` if `device_id` has not the form of one."""
        record, secrets = await self._look_up(device_id, account_id)
        models = self._catalogue.models()
        if not models:
            raise ConfigurationError("No models are configured: add a [models.NAME] section.")
        guess = models[self._dummies.choice(device_id, len(models))]
        return Setup(
            device_id=device_id,
            model=guess.model if record is None else record.model,
            display_name=guess.display_name if record is None else self._catalogue.display_name(record.model),
            presence=guess.presence if record is None else record.presence,
            access_point=AccessPoint(secrets.access_point_ssid, secrets.access_point_passphrase),
        )

    async def presence_code(self, device_id: str, account_id: str, window_nonce: bytes) -> PossessionCode:
        """The code of the window that the device's button opened; `window_nonce` has 16 bytes."""
        _, secrets = await self._look_up(device_id, account_id)
        key = secrets.presence_key or self._dummies.secrets(device_id).presence_key
        if key is None:
            raise ConfigurationError("A device without presence key was asked for its button's code.")
        return button_code(key, window_nonce)

    async def _look_up(self, device_id: str, account_id: str) -> tuple[DeviceRecord | None, DeviceSecrets]:
        check_device_id(device_id)
        async with self._database.read() as connection:
            record = await store.find(connection, device_id)
        if record is not None and not _open_to(record, account_id, self._clock()):
            record = None
        dummy = self._dummies.secrets(device_id)
        if record is None or record.secrets is None:
            self._secrets.open(_STAND_IN_ID, self._stand_in)
            return record, dummy
        return record, self._secrets.open(device_id, record.secrets)


_STAND_IN_ID = "AD" + "A" * 20


def _open_to(record: DeviceRecord, account_id: str, now: float) -> bool:
    return not record.barred(account_id) and record.owner(now) in (None, account_id)
