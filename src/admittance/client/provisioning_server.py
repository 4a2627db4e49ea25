"""The server's part in a provisioning, over its API for people."""

from admittance.client.api import ApiClient
from admittance.client.api_types import decode_bytes
from admittance.client.provisioning_ports import (
    AccessPoint,
    Activation,
    Challenge,
    PossessionCode,
    Setup,
)
from admittance.client.provisioning_state import RunningProvisioning
from admittance.errors import Conflict


class ApiServer:
    """`Server` over a logged-in `ApiClient`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def origin(self) -> str:
        return self._api.origin

    async def challenge(self) -> Challenge:
        answer = await self._api.challenge()
        return Challenge(decode_bytes(answer.challenge), answer.expires_at)

    async def setup(self, device_id: str) -> Setup:
        answer = await self._api.setup(device_id)
        return Setup(
            Challenge(decode_bytes(answer.challenge), answer.expires_at),
            answer.presence,
            AccessPoint(answer.access_point.ssid, answer.access_point.passphrase),
        )

    async def presence_code(self, challenge: bytes, device_id: str, window: bytes) -> PossessionCode:
        answer = await self._api.presence_code(challenge=challenge, device_id=device_id, window_nonce=window)
        return PossessionCode(answer.username, answer.code)

    async def activate(self, running: RunningProvisioning) -> Activation:
        by_server = running.network_name is not None
        answer = await self._api.activate(
            challenge=running.challenge,
            evidence=running.evidence,
            binding=running.binding,
            transaction_id=running.transaction_id,
            network_name=running.network_name,
            app_key=running.app_key if by_server else None,
        )
        return Activation(
            answer.device_id, answer.purpose, answer.epoch, decode_bytes(answer.sealed), answer.second_factor
        )

    async def enrolled(self, device_id: str) -> bool:
        device = await self._api.device(device_id)
        if device.state in ("revoked", "released"):
            raise Conflict(f"The device was {device.state} meanwhile. Look at: admit devices show {device_id}")
        return device.state == "active" and (device.offline or device.certificate is not None)
