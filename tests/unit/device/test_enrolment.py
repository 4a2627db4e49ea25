"""Enrolment of a device against a registrar that keeps the server's rules."""

import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admittance.device.clock import TrustedClock
from admittance.device.enrolment import Enrolment
from admittance.device.keys import Made, make_keys
from admittance.device.state import Memory, ServerContact, StateFile, first_record
from admittance.errors import Malformed, NetworkFailure, ServerRefused
from admittance.protocol.enrolment.request import read_request
from admittance.protocol.enrolment.reset import read_reset_report
from admittance.wire.enrolment import Enrolled
from tests.unit.device.births import make_birth
from tests.unit.device.killing_files import KillingFiles, PowerCut

TICKET = b"t" * 32
START = 1_800_000_000


class Registrar:
    """Verifies as the server does; idempotent by ticket and key. `lose` drops that many answers."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.now = START
        self.lose = 0
        self.refuse: str | None = None
        self.issued: dict[bytes, bytes] = {}
        self.spent: dict[bytes, bytes] = {}
        self.tickets: list[bytes] = []
        self.resets: list[int] = []
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._nonce = b""
        self.clock: TrustedClock | None = None

    async def nonce(self, device_id: str) -> bytes:
        assert device_id == self.made.birth.device_id
        if self.clock is not None:
            self.clock.set_server_time(self.now)
        self._nonce = os.urandom(32)
        return self._nonce

    async def enrol(self, request: bytes) -> Enrolled:
        verified = read_request(request).verify(self.made.identity.spki, self._nonce)
        if self.refuse is not None:
            raise ServerRefused(self.refuse, "Refused.")
        self.tickets.append(verified.ticket)
        spki = verified.operational_spki
        if verified.ticket and self.spent.setdefault(verified.ticket, spki) != spki:
            raise ServerRefused("ticket_used", "Refused.")
        certificate = self.issued.setdefault(spki, self.certificate(spki))
        if self.lose:
            self.lose -= 1
            raise NetworkFailure("no_server", "The answer was lost.")
        return Enrolled([certificate], self.now, 3600)

    async def report_reset(self, report: bytes) -> None:
        verified = read_reset_report(report).verify(self.made.identity.spki, self._nonce)
        self.resets.append(verified.resets)

    def certificate(self, spki: bytes) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.made.birth.device_id)])
        start = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
        key = serialization.load_der_public_key(spki)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(hours=2))
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)


class Device:
    """A device that was configured; `boot` starts it again on the same disk."""

    def __init__(self, folder: Path) -> None:
        self.made = make_birth(folder / "birth")
        self.state = folder / "state"
        self.state.mkdir()
        self.monotonic = 10.0
        self.registrar = Registrar(self.made)
        self.events: list[str] = []
        memory = Memory(StateFile(self.state), first_record(make_keys(self.made.birth)))
        memory.change(
            epoch=1,
            last_sequence=1,
            ticket=TICKET,
            server=ServerContact("https://a", "https://b", [b"anchor"]),
        )
        self.boot()

    def boot(self, files: KillingFiles | None = None) -> None:
        record = StateFile(self.state).load()
        assert record is not None
        self.memory = Memory(StateFile(self.state, files), record)
        self.clock = TrustedClock(lambda: self.monotonic, record.time_floor)
        self.registrar.clock = self.clock
        self.enrolment = Enrolment(
            self.made, self.memory, self.clock, lambda event, **fields: self.events.append(event)
        )

    async def enrol(self) -> None:
        await self.enrolment.enrol(self.registrar)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


async def test_a_ticket_is_turned_into_a_certificate(device: Device) -> None:
    assert device.enrolment.is_due()
    await device.enrol()
    record = device.memory.record
    assert (record.owned, record.ticket, record.pending) == (True, None, None)
    assert record.operational is not None
    assert record.time_floor == START
    assert device.registrar.tickets == [TICKET]
    assert not device.enrolment.is_due()
    assert device.events == ["enrolling", "enrolled"]


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(device: Device) -> None:
    device.registrar.lose = 2
    for _ in range(2):
        with pytest.raises(NetworkFailure):
            await device.enrol()
        device.boot()
    await device.enrol()
    assert len(device.registrar.issued) == 1
    assert device.memory.record.operational is not None


async def test_killed_at_any_step_of_enrolment_one_certificate_comes_of_it(tmp_path: Path) -> None:
    for step in range(1, 40):
        device = Device(tmp_path / str(step))
        files = KillingFiles(step)
        device.boot(files)
        try:
            await device.enrol()
        except PowerCut:
            device.boot()
            if device.enrolment.is_due():
                await device.enrol()
        assert len(device.registrar.issued) == 1
        assert device.memory.record.owned
        assert device.memory.record.operational is not None
        if files.steps < step:
            break
    else:
        pytest.fail("enrolment has more steps than were tried")


async def test_the_key_is_on_the_disk_before_it_is_sent(device: Device) -> None:
    device.registrar.refuse = "authentication_failed"
    with pytest.raises(ServerRefused):
        await device.enrol()
    pending = device.memory.record.pending
    assert pending is not None
    device.boot()
    assert device.memory.record.pending == pending


async def test_renewal_is_due_by_the_trusted_clock_and_takes_a_fresh_key(device: Device) -> None:
    await device.enrol()
    before = device.memory.record.operational
    device.monotonic += 3599
    assert not device.enrolment.is_due()
    device.monotonic += 1
    assert device.enrolment.is_due()
    device.registrar.now += 3600
    await device.enrol()
    after = device.memory.record.operational
    assert before is not None
    assert after is not None
    assert after.key != before.key
    assert device.registrar.tickets == [TICKET, b""]


async def test_after_400_days_off_and_a_clock_at_1970_the_device_enrols_by_identity(device: Device) -> None:
    await device.enrol()
    device.monotonic = 3.0
    device.registrar.now += 400 * 86400
    device.boot()
    assert not device.clock.trusted
    await device.enrol()
    assert device.registrar.tickets[-1] == b""
    assert device.clock.now() >= START + 400 * 86400
    assert not device.enrolment.is_due()


async def test_a_used_ticket_is_forgotten(device: Device) -> None:
    device.registrar.spent[TICKET] = b"another key"
    with pytest.raises(ServerRefused):
        await device.enrol()
    assert (device.memory.record.ticket, device.memory.record.pending) == (None, None)
    assert not device.enrolment.is_due()


async def test_a_refused_ticket_of_an_owned_device_gives_way_to_its_identity(device: Device) -> None:
    await device.enrol()
    device.memory.change(ticket=b"n" * 32)
    assert device.enrolment.is_due()
    device.registrar.refuse = "authentication_failed"
    with pytest.raises(ServerRefused):
        await device.enrol()
    device.registrar.refuse = None
    await device.enrol()
    assert device.registrar.tickets[-1] == b""


async def test_a_configuration_that_came_meanwhile_is_not_overwritten(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol = device.registrar.enrol

    async def overtaken(request: bytes) -> Enrolled:
        enrolled = await enrol(request)
        device.memory.change(ticket=b"n" * 32, pending=None, epoch=2)
        return enrolled

    monkeypatch.setattr(device.registrar, "enrol", overtaken)
    await device.enrol()
    record = device.memory.record
    assert (record.operational, record.ticket, record.owned) == (None, b"n" * 32, False)


async def test_a_certificate_for_another_key_is_refused(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    spki = other.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    wrong = device.registrar.certificate(spki)
    monkeypatch.setattr(device.registrar, "certificate", lambda spki: wrong)
    with pytest.raises(Malformed, match="another key"):
        await device.enrol()
    assert device.memory.record.operational is None


async def test_a_reset_is_reported_once(device: Device) -> None:
    device.memory.reset(make_keys(device.made.birth))
    await device.enrolment.report_reset(device.registrar)
    assert device.registrar.resets == [1]
    assert not device.memory.record.reset_unreported
    assert device.memory.record.resets == 1
