"""The machine behind the `admit-*` endpoints, driven without any I/O."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from admittance.protocol.channel.credentials import CredentialList
from admittance.protocol.provisioning.evidence import read_evidence
from admittance.protocol.provisioning.network_secret import Network, encrypt_network
from admittance.protocol.provisioning.transaction import TRANSACTION_S, Transaction
from admittance.protocol.provisioning.transaction_events import (
    AllowResume,
    AttemptFailed,
    AttemptJoined,
    AttemptSucceeded,
    EnrolmentFinished,
    FactorWanted,
    ForgetResume,
    PersistConfiguration,
    TryNetwork,
    UseCode,
)
from admittance.protocol.provisioning.transaction_state import (
    DeviceFacts,
    DeviceKeys,
    Standing,
)
from admittance.protocol.sealing import ClassicSealKey, HybridSealKey, SealKey, SymmetricSealKey
from admittance.protocol.signing import SoftwareSigner, spki_of
from admittance.wire import device_id, message
from admittance.wire import provisioning_messages as wire
from admittance.wire.channel import Entry
from admittance.wire.evidence import PresenceMethod
from admittance.wire.message import Message
from tests.unit.protocol.provisioning.sealing_server import SealingServer, server_managed

ORIGIN = "https://localhost:8443"
CHALLENGE = b"c" * 32
APP_KEY = b"a" * 32
UNOWNED = Standing(epoch=0, last_sequence=0, resets=0, owned=False)
OWNED = Standing(epoch=2, last_sequence=7, resets=1, owned=True)
HOME = Network("home", "correct horse")


@dataclass(frozen=True)
class FakeSession:
    binding: bytes = b"b" * 32
    method: PresenceMethod = "display"
    code_age_s: int = 12


class Bench:
    """A device's machine, and the phone and server around it."""

    def __init__(
        self,
        standing: Standing = UNOWNED,
        seal_key: SealKey | None = None,
        credentials: CredentialList | None = None,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        other = spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
        identity = SoftwareSigner(key)
        self.server = SealingServer()
        self.spki = identity.spki
        self.device_id = device_id.device_id(identity.spki)
        self.now = 100.0
        self.session = FakeSession()
        self.machine = Transaction(
            DeviceFacts(self.device_id, "lamp-1", "0.1.0", "display", ORIGIN, self.server.root_spki_sha256),
            DeviceKeys(identity, (), seal_key or ClassicSealKey.generate(), other, other),
            standing,
            os.urandom,
            lambda: credentials or CredentialList(standing.epoch),
        )

    def call(self, endpoint: str, request: Message, expected: type[Any]) -> Any:
        data = self.machine.endpoints()[endpoint](self.session, message.encode(request), self.now)
        return wire.decode_answer(data, expected)

    def hello(self) -> wire.Hello:
        answer = self.call(wire.HELLO, wire.HelloRequest(), wire.Hello)
        assert isinstance(answer, wire.Hello)
        return answer

    def evidence(self, challenge: bytes = CHALLENGE) -> Any:
        return self.call(wire.EVIDENCE, wire.EvidenceRequest(challenge), wire.EvidenceAnswer)

    def signed(self, challenge: bytes = CHALLENGE) -> Any:
        """The verified evidence and the transaction id."""
        answer = self.evidence(challenge)
        verified = read_evidence(answer.evidence).verify(
            self.spki, origin=ORIGIN, challenge=challenge, binding=self.session.binding
        )
        return verified.evidence, answer.transaction_id

    def config(self, sealed: bytes, app_key: bytes = APP_KEY) -> Any:
        return self.call(wire.CONFIG, wire.ConfigurationRequest(sealed, app_key), wire.ConfigurationAnswer)

    def configured(self, **options: Any) -> bytes:
        """Bring the machine to an accepted app-managed configuration; gives the transaction id."""
        evidence, transaction_id = self.signed()
        assert isinstance(self.config(self.server.seal(evidence, **options)), wire.ConfigurationAnswer)
        self.machine.drain()
        return bytes(transaction_id)

    def network(self, transaction_id: bytes, attempt: int, network: Network = HOME, app_key: bytes = APP_KEY) -> Any:
        salt = os.urandom(32)
        ciphertext = encrypt_network(app_key, salt, self.device_id, transaction_id, attempt, network)
        request = wire.NetworkRequest(attempt, salt, ciphertext)
        return self.call(wire.NETWORK, request, wire.NetworkAnswer)

    def status(self) -> wire.Status:
        answer = self.call(wire.STATUS, wire.StatusRequest(), wire.Status)
        assert isinstance(answer, wire.Status)
        return answer

    def commands(self, kind: type[Any]) -> list[Any]:
        return [command for command in self.machine.drain() if isinstance(command, kind)]


def refused(answer: Any) -> str:
    assert isinstance(answer, wire.Refusal), answer
    return answer.code


def test_hello_opens_a_transaction_and_names_it_again() -> None:
    bench = Bench()
    hello = bench.hello()
    assert (hello.device_id, hello.model, hello.owned, hello.epoch) == (bench.device_id, "lamp-1", False, 0)
    assert (hello.server_origin, hello.seal, hello.presence) == (ORIGIN, "classic", "display")
    assert bench.hello().transaction_id == hello.transaction_id


def test_evidence_is_signed_for_challenge_and_session() -> None:
    bench = Bench(OWNED)
    evidence, _ = bench.signed()
    assert (evidence.presence, evidence.code_age_s) == ("display", 12)
    assert (evidence.epoch, evidence.last_sequence, evidence.claims.resets) == (2, 7, 1)
    assert evidence.public_keys.seal_algorithm == "classic"


@pytest.mark.parametrize("method", ["display", "button", "resume"])
def test_evidence_records_how_presence_was_proved(method: PresenceMethod) -> None:
    bench = Bench()
    bench.session = FakeSession(method=method, code_age_s=0)
    assert bench.signed()[0].presence == method


def test_evidence_asked_again_keeps_the_resume_code_and_follows_the_session() -> None:
    bench = Bench()
    first = bench.evidence()
    bench.session = FakeSession(binding=b"z" * 32, method="resume", code_age_s=0)
    second = bench.evidence()
    assert (second.resume_code, second.transaction_id) == (first.resume_code, first.transaction_id)
    assert read_evidence(second.evidence).evidence.binding == b"z" * 32
    allowed = bench.commands(AllowResume)
    assert allowed[-1] == AllowResume(first.transaction_id, first.resume_code, 100.0 + TRANSACTION_S)


def test_another_challenge_at_the_device_ends_the_transaction_before() -> None:
    bench = Bench()
    first = bench.evidence()
    second = bench.evidence(b"d" * 32)
    assert second.transaction_id != first.transaction_id
    assert second.resume_code != first.resume_code
    assert ForgetResume(first.transaction_id) in bench.machine.drain()


def test_another_challenge_in_a_resumed_session_is_refused() -> None:
    bench = Bench()
    bench.evidence()
    bench.session = FakeSession(method="resume")
    assert refused(bench.evidence(b"d" * 32)) == "conflict"


@pytest.mark.parametrize(
    "seal_key", [HybridSealKey.generate(), ClassicSealKey.generate(), SymmetricSealKey(b"k" * 32)]
)
def test_a_sealed_configuration_is_accepted_once_and_answered_alike(seal_key: SealKey) -> None:
    bench = Bench(seal_key=seal_key)
    evidence, _ = bench.signed()
    sealed = bench.server.seal(evidence, seal_key=b"k" * 32)
    bench.machine.drain()
    first = bench.config(sealed)
    assert first == wire.ConfigurationAnswer(1, "idle")
    (persist,) = bench.machine.drain()
    assert isinstance(persist, PersistConfiguration)
    assert persist.new_owner
    assert persist.configuration.ticket == b"t" * 32
    assert bench.config(sealed) == first
    assert bench.machine.drain() == ()
    assert bench.machine.standing == Standing(epoch=1, last_sequence=1, resets=0, owned=False)


def key() -> bytes:
    return spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())


def listed(bench: Bench) -> list[tuple[str, int, bytes]]:
    """Role, epoch and key of each credential that the machine would have saved."""
    saved = [command for command in bench.machine.drain() if isinstance(command, PersistConfiguration)]
    return [(entry.role, entry.epoch, entry.spki) for entry in saved[-1].credentials.entries]


def test_the_app_and_the_server_are_listed_with_the_configuration() -> None:
    bench = Bench()
    app, server = key(), key()
    bench.server.server_channel = server
    evidence, _ = bench.signed()
    sealed = bench.server.seal(evidence)
    request = wire.ConfigurationRequest(sealed, APP_KEY, app, key(), "phone")
    assert isinstance(bench.call(wire.CONFIG, request, wire.ConfigurationAnswer), wire.ConfigurationAnswer)
    assert listed(bench) == [("server", 1, server), ("owner", 1, app)]


def test_an_app_without_keys_is_not_listed() -> None:
    bench = Bench()
    evidence, _ = bench.signed()
    bench.config(bench.server.seal(evidence))
    assert listed(bench) == []


def test_a_second_app_of_the_same_owner_joins_the_first_and_one_of_the_next_owner_takes_its_place() -> None:
    first, second, third = key(), key(), key()
    before = CredentialList(2).add(Entry(first, b"", "owner", 2, "phone", 0, ()), now=1)
    for purpose, app, expected in (("reprovision", second, [first, second]), ("activate", third, [third])):
        bench = Bench(OWNED, credentials=before)
        evidence, _ = bench.signed()
        sealed = bench.server.seal(evidence, purpose=purpose)
        request = wire.ConfigurationRequest(sealed, APP_KEY, app, b"", "tablet")
        bench.call(wire.CONFIG, request, wire.ConfigurationAnswer)
        assert [spki for _, _, spki in listed(bench)] == expected


@pytest.mark.parametrize("position", ["channel", "signing"])
def test_a_key_that_cannot_be_listed_refuses_the_whole_configuration(position: str) -> None:
    bench = Bench()
    evidence, _ = bench.signed()
    keys = {"channel": key(), "signing": key()} | {position: b"k" * 91}
    request = wire.ConfigurationRequest(bench.server.seal(evidence), APP_KEY, **keys, name="phone")
    bench.machine.drain()
    refusal = bench.call(wire.CONFIG, request, wire.ConfigurationAnswer)
    assert refusal.code == "malformed"
    assert bench.machine.drain() == ()
    assert bench.machine.standing == UNOWNED


def test_a_server_managed_network_starts_the_try_with_the_configuration() -> None:
    bench = Bench()
    evidence, transaction_id = bench.signed()
    sealed = bench.server.seal(evidence, network=server_managed(APP_KEY, evidence, transaction_id, HOME))
    bench.machine.drain()
    assert bench.config(sealed).status == "trying"
    assert [type(command) for command in bench.machine.drain()] == [PersistConfiguration, TryNetwork]


def test_a_server_managed_network_under_another_app_key_changes_nothing() -> None:
    bench = Bench()
    evidence, transaction_id = bench.signed()
    sealed = bench.server.seal(evidence, network=server_managed(APP_KEY, evidence, transaction_id, HOME))
    bench.machine.drain()
    assert refused(bench.config(sealed, b"x" * 32)) == "not_decryptable"
    assert bench.machine.drain() == ()
    assert bench.machine.standing == UNOWNED
    assert bench.config(sealed).sequence == 1


Change = Callable[[Bench, Any], bytes]
REFUSED: list[tuple[str, Standing, Change]] = [
    ("wrong_nonce", UNOWNED, lambda b, e: b.server.seal(msgspec.structs.replace(e, device_nonce=b"n" * 16))),
    ("wrong_device", UNOWNED, lambda b, e: b.server.seal(msgspec.structs.replace(e, device_id="AD" + "A" * 20))),
    ("untrusted_signer", UNOWNED, lambda b, e: SealingServer().seal(e)),
    ("sequence_replayed", OWNED, lambda b, e: b.server.seal(e, purpose="reprovision", sequence=7)),
    ("wrong_epoch", OWNED, lambda b, e: b.server.seal(e, epoch=2)),
    ("wrong_epoch", OWNED, lambda b, e: b.server.seal(e, purpose="reprovision", epoch=1)),
    ("malformed", UNOWNED, lambda b, e: b"sealed"),
]


@pytest.mark.parametrize(("code", "standing", "change"), REFUSED)
def test_a_configuration_that_is_not_for_this_device_now_is_refused(
    code: str, standing: Standing, change: Change
) -> None:
    bench = Bench(standing)
    evidence, _ = bench.signed()
    bench.machine.drain()
    assert refused(bench.config(change(bench, evidence))) == code
    assert bench.machine.drain() == ()
    assert bench.machine.standing == standing


def test_a_configuration_that_outlived_its_lifetime_is_refused() -> None:
    bench = Bench()
    evidence, _ = bench.signed()
    sealed = bench.server.seal(evidence, lifetime_s=60)
    bench.now += 60.5
    assert refused(bench.config(sealed)) == "configuration_expired"


def test_a_configuration_of_an_expired_transaction_is_refused() -> None:
    bench = Bench()
    evidence, transaction_id = bench.signed()
    bench.machine.drain()
    bench.now += TRANSACTION_S
    assert refused(bench.config(bench.server.seal(evidence, lifetime_s=3600))) == "expired"
    assert bench.machine.drain() == (ForgetResume(transaction_id),)


def test_the_transaction_lives_until_just_before_its_end() -> None:
    bench = Bench()
    evidence, _ = bench.signed()
    bench.now += TRANSACTION_S - 0.5
    assert bench.config(bench.server.seal(evidence)).sequence == 1
    assert bench.status().deadline_s == 0


def test_a_wrong_password_is_retried_without_another_sealed_configuration() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    assert bench.network(transaction_id, 1, Network("home", "wrong")).status == "trying"
    assert bench.commands(TryNetwork) == [TryNetwork(Network("home", "wrong"), 1)]
    bench.machine.notify(AttemptFailed(1, "wrong_password"))
    status = bench.status()
    assert (status.state, status.cause, status.attempt) == ("failed", "wrong_password", 1)
    assert bench.network(transaction_id, 2).status == "trying"
    assert bench.commands(TryNetwork) == [TryNetwork(HOME, 2)]
    for event, state in [
        (AttemptJoined(2), "joined"),
        (AttemptSucceeded(2), "online"),
        (EnrolmentFinished(), "enrolled"),
    ]:
        bench.machine.notify(event)
        assert (bench.status().state, bench.status().cause) == (state, "")
    assert bench.machine.standing.owned


def test_a_code_is_handed_on_until_the_server_takes_it() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    bench.network(transaction_id, 1)
    bench.machine.notify(AttemptSucceeded(1))
    for cause, code in (("factor_required", "WRONG"), ("factor_refused", "7F3K9Q2M")):
        bench.machine.notify(FactorWanted(cause))
        assert (bench.status().state, bench.status().cause) == ("factor", cause)
        bench.machine.drain()
        assert bench.call(wire.CODE, wire.CodeRequest(code), wire.CodeAnswer) == wire.CodeAnswer("online")
        assert bench.commands(UseCode) == [UseCode(code)]
    bench.machine.notify(EnrolmentFinished(7))
    assert (bench.status().state, bench.machine.standing.epoch) == ("enrolled", 7)
    assert "7F3K9Q2M" not in repr(UseCode("7F3K9Q2M")) + repr(wire.CodeRequest("7F3K9Q2M"))


def test_a_code_before_the_configuration_is_refused() -> None:
    bench = Bench()
    bench.evidence()
    assert refused(bench.call(wire.CODE, wire.CodeRequest("7F3K9Q2M"), wire.CodeAnswer)) == "conflict"
    assert bench.commands(UseCode) == []


def test_the_same_try_again_is_answered_without_another_join() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    salt = b"s" * 32
    ciphertext = encrypt_network(APP_KEY, salt, bench.device_id, transaction_id, 1, HOME)
    request = wire.NetworkRequest(1, salt, ciphertext)
    assert bench.call(wire.NETWORK, request, wire.NetworkAnswer).status == "trying"
    assert len(bench.commands(TryNetwork)) == 1
    assert bench.call(wire.NETWORK, request, wire.NetworkAnswer).status == "trying"
    assert bench.commands(TryNetwork) == []


def test_a_used_try_number_with_another_network_is_refused() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    bench.network(transaction_id, 3)
    for attempt in (1, 2, 3):
        assert refused(bench.network(transaction_id, attempt, Network("other", ""))) == "already_used"


def test_a_network_under_another_app_key_is_refused() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    assert refused(bench.network(transaction_id, 1, app_key=b"x" * 32)) == "not_decryptable"
    assert refused(bench.network(b"o" * 16, 1)) == "not_decryptable"
    assert bench.network(transaction_id, 1).status == "trying"


def test_a_network_before_the_configuration_is_refused() -> None:
    bench = Bench()
    assert refused(bench.network(bench.hello().transaction_id, 1)) == "conflict"


def test_news_of_a_try_that_was_replaced_is_ignored() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    bench.network(transaction_id, 1)
    bench.network(transaction_id, 2)
    bench.machine.notify(AttemptFailed(1, "not_found"))
    bench.machine.notify(AttemptSucceeded(1))
    assert bench.status().state == "trying"


def test_a_claim_by_a_new_owner_ends_the_ownership_before() -> None:
    bench = Bench(OWNED)
    evidence, _ = bench.signed()
    bench.machine.drain()
    bench.config(bench.server.seal(evidence))
    (persist,) = bench.machine.drain()
    assert isinstance(persist, PersistConfiguration)
    assert persist.new_owner
    assert bench.machine.standing == Standing(epoch=3, last_sequence=8, resets=1, owned=False)


def test_reprovisioning_keeps_the_owner() -> None:
    bench = Bench(OWNED)
    evidence, transaction_id = bench.signed()
    bench.machine.drain()
    bench.config(bench.server.seal(evidence, purpose="reprovision"))
    (persist,) = bench.machine.drain()
    assert isinstance(persist, PersistConfiguration)
    assert not persist.new_owner
    assert bench.machine.standing == replace(OWNED, last_sequence=8)
    bench.network(transaction_id, 1)
    bench.machine.notify(AttemptSucceeded(1))
    assert bench.status().state == "enrolled"


def test_a_new_code_after_the_end_begins_another_transaction() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    bench.network(transaction_id, 1)
    bench.machine.notify(AttemptSucceeded(1))
    bench.machine.notify(EnrolmentFinished())
    bench.session = FakeSession(method="resume")
    assert bench.hello().transaction_id == transaction_id
    bench.session = FakeSession()
    assert bench.hello().transaction_id != transaction_id
    assert bench.commands(ForgetResume) == [ForgetResume(transaction_id)]


def test_a_configuration_for_another_origin_is_refused() -> None:
    bench = Bench()
    bench.server.origin = "https://elsewhere:8443"
    evidence, _ = bench.signed()
    assert refused(bench.config(bench.server.seal(evidence))) == "wrong_origin"
    assert bench.machine.standing == UNOWNED


def test_stock_endpoints_of_an_owned_device_need_a_permit_of_the_open_transaction() -> None:
    assert Bench().machine.permits("prov-config", None, 0.0)
    bench = Bench(OWNED)
    assert not bench.machine.permits("prov-config", bench.session, bench.now)
    bench.configured(purpose="reprovision", permits=["prov-config"])
    assert bench.machine.permits("prov-config", bench.session, bench.now)
    assert not bench.machine.permits("prov-ctrl", bench.session, bench.now)
    resumed = FakeSession(binding=b"r" * 32, method="resume")
    assert bench.machine.permits("prov-config", resumed, bench.now)
    assert not bench.machine.permits("prov-config", FakeSession(binding=b"s" * 32), bench.now)
    assert not bench.machine.permits("prov-config", None, bench.now)
    assert not bench.machine.permits("prov-config", bench.session, bench.now + TRANSACTION_S)


@given(st.sampled_from([wire.HELLO, wire.EVIDENCE, wire.CONFIG, wire.NETWORK, wire.STATUS]), st.binary())
def test_arbitrary_requests_are_refused_as_malformed_and_change_nothing(endpoint: str, data: bytes) -> None:
    bench = Bench()
    answer = bench.machine.endpoints()[endpoint](bench.session, data, bench.now)
    assert refused(wire.decode_answer(answer, wire.Hello)) in ("malformed", "expired")
    assert bench.machine.standing == UNOWNED


def test_no_secret_shows_in_the_text_of_a_command() -> None:
    bench = Bench()
    transaction_id = bench.configured()
    evidence = bench.evidence()
    bench.network(transaction_id, 1)
    text = repr(bench.machine.drain())
    assert HOME.passphrase not in text
    assert repr(evidence.resume_code) not in text
