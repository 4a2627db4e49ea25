"""What a person does at the device itself: type in a second factor, or log in where the device has a keyboard.

A device that was never provisioned knows its server's origin and the configuration root alone. It asks the origin
where the listeners are, and believes the answer for its signature; the password goes out under the anchors in it.
"""

from collections.abc import Callable
from typing import Final

from admittance.device.clock import TrustedClock
from admittance.device.contact import FirstContact, ask_bootstrap
from admittance.device.enrolment import Enrolment
from admittance.device.keys import Made
from admittance.device.log import Log
from admittance.device.radio.port import Radio
from admittance.device.second_factor import SecondFactor
from admittance.device.state import Memory, ServerContact
from admittance.errors import Conflict
from admittance.protocol.enrolment.login import build_login, open_bootstrap
from admittance.wire.enrolment import Factor

NONCE_BYTES: Final = 16


class Keyboard:
    """See the module. `first_contact` opens the listener of a server; `random` gives n random bytes."""

    def __init__(
        self,
        made: Made,
        memory: Memory,
        radio: Radio,
        clock: TrustedClock,
        enrolment: Enrolment,
        factor: SecondFactor,
        first_contact: Callable[[ServerContact], FirstContact],
        random: Callable[[int], bytes],
        log: Log,
    ) -> None:
        self._made = made
        self._memory = memory
        self._radio = radio
        self._clock = clock
        self._enrolment = enrolment
        self._factor = factor
        self._first_contact = first_contact
        self._random = random
        self._log = log

    def give(self, factor: Factor) -> None:
        """Hand in a second factor. Raises `Conflict` when no enrolment is under way."""
        if not self._enrolment.is_under_way:
            raise Conflict(
                "No enrolment is under way. Provision the device first, or log in: admit device enrol --login"
            )
        self._factor.give(factor)

    async def log_in(self, email: str, password: str) -> None:
        """Log in; the server sends a code to the account's phone if all is right, and answers alike if not.

        Raises `Conflict` if the device has an owner or no network; `ServerRefused`, `NetworkFailure`, `Unavailable`.
        """
        record = self._memory.record
        if record.owned:
            raise Conflict("This device has an owner. Reset it first: admit device reset")
        if record.network is None:
            raise Conflict("This device is on no network. Name one: admit device enrol --login --network NAME")
        registrar = self._first_contact(record.server or await self._find_server())
        device_id = self._made.birth.device_id
        nonce = await registrar.nonce(device_id)
        signed = build_login(
            self._made.identity,
            nonce=nonce,
            device_id=device_id,
            epoch=self._memory.record.epoch,
            email=email,
            password=password,
        )
        self._enrolment.begin_after_login(await registrar.log_in(signed))
        self._log("logged_in")

    async def _find_server(self) -> ServerContact:
        birth = self._made.birth
        device_nonce = self._random(NONCE_BYTES)
        answer = await ask_bootstrap(self._radio, birth.server_origin, device_nonce)
        found = open_bootstrap(
            answer,
            root_spki_sha256=birth.configuration_root_sha256,
            device_nonce=device_nonce,
            server_origin=birth.server_origin,
        )
        self._clock.set_server_time(found.server_time)
        server = ServerContact(found.first_contact_url, found.device_url, list(found.anchors))
        self._memory.change(server=server, time_floor=self._clock.floor())
        self._log("server_found")
        return server
