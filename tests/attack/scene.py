"""An owner, a stranger and whoever got hold of a password, before one server; what is kept, and what may be told."""

import os
from dataclasses import dataclass

import httpx

from admittance.wire import base64url
from tests.attack.granted_lock import terms
from tests.attack.site import Enrolment, Login, Row, Site
from tests.device_world import FakeDevice

NOTED = frozenset({"proofs_seen", "login_throttles"})
"""Tables in which the server notes that it was asked."""

REFUSALS = frozenset({"activation.refused", "enrolment.refused", "login.refused", "app.refused"})
"""What the audit log may tell of an attack."""


@dataclass
class Scene:
    """An owner with a device, one that waits for approval, and a network; a stranger with a device.

    `grant` is one that the owner gave on its device. `thief` logged in as the owner from an app of its own: the
    password leaked.
    """

    site: Site
    owner: Login
    thief: Login
    device: FakeDevice
    waiting: FakeDevice
    certificate: Enrolment
    stranger: Login
    other: FakeDevice
    other_certificate: Enrolment
    ended: Login
    grant: str

    def path(self, route: str) -> str:
        """The route's path, naming what is the owner's."""
        device = self.waiting if route.startswith("/api/enrolments/") else self.device
        return route.format(device_id=device.device_id, name="home", grant_id=self.grant)

    async def content(self, route: str, login: Login) -> dict[str, object] | None:
        """A body that would do harm if `login` had the authority."""
        match route:
            case "/api/invites":
                return {"email": "accomplice@example.org", "operator": True, "quota": 10**6}
            case "/api/devices/{device_id}/revoke" | "/api/devices/{device_id}/decommission":
                return {"reason": "mine now"}
            case "/api/devices/{device_id}/assign":
                return {"email": login.email}
            case "/api/devices/{device_id}/consent":
                return {"readings": ["heartbeat"], "erase": True}
            case "/api/grants":
                return terms(self.device.device_id, "accomplice@example.org")
            case "/api/grants/accept":
                return {"secret": base64url.encode(os.urandom(32))}
            case "/api/grants/{grant_id}":
                return {"uses": 0, "name": "mine now"}
            case "/relay/tickets":
                return {"device_id": self.device.device_id}
            case "/api/account/factors":
                return {"required": []}
            case "/api/account/phone":
                return {"number": "+491709999999"}
            case "/api/account/totp/confirm" | "/api/account/phone/confirm":
                return {"code": "00000000"}
            case "/api/account/trust":
                return {"kind": "code", "value": "0000-0000"}
            case "/api/networks/{name}":
                return {"ssid": "Evil twin", "passphrase": "correct horse"}
            case "/api/challenges":
                return {"purpose": "provision", "device_id": self.device.device_id}
            case "/api/presence-codes":
                return {
                    "challenge": base64url.encode(os.urandom(32)),
                    "device_id": self.device.device_id,
                    "window_nonce": base64url.encode(os.urandom(16)),
                }
            case "/api/activations":
                return await self.site.evidence(self.stranger, self.device)
            case "/api/invites/accept":
                secret = base64url.encode(os.urandom(32))
                name = {"email": self.owner.email, "password": "W7-long-and-unusual", "display_name": "Eve"}
                return {"secret": secret, **name}
        return None

    async def kept(self) -> set[Row]:
        """All rows but the server's notes, and what belongs to the stranger alone."""
        rows = await self.site.rows()
        return {(table, row) for table, row in rows if table not in NOTED and not self.is_of_the_stranger(row)}

    def is_of_the_stranger(self, row: tuple[object, ...]) -> bool:
        """Whether a row tells of the stranger and of nothing that is the owner's."""
        text = " ".join(map(_text, row))
        owners = (self.owner.account_id, f"device:{self.device.device_id}", f"device:{self.waiting.device_id}")
        of_device = self.device.registry_key in row or self.waiting.registry_key in row
        return self.stranger.account_id in text and not of_device and not any(word in text for word in owners)

    async def assert_unchanged(self, before: set[Row]) -> None:
        """Nothing is gone, and nothing came but notes of refusals in the audit log."""
        after = await self.kept()
        assert before - after == set()
        assert {(table, row) for table, row in after - before if table != "audit" or row[2] not in REFUSALS} == set()

    def is_about_the_owner(self, answer: httpx.Response) -> bool:
        """Whether an answer holds something that only the owner may know."""
        secret = (
            self.owner.account_id,
            self.owner.email,
            "Owners-Wi-Fi",
            self.device.secrets.access_point_passphrase,
            f"{self.certificate.certificate.serial_number:x}",
        )
        return any(word in answer.text for word in secret)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
