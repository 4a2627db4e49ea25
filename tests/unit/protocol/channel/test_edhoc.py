"""Our two sides against each other, and against what no honest peer sends."""

import lakers
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from admittance.errors import AuthenticationFailed, KeyRefused, Malformed, Misuse, QuotaExceeded, SuiteRefused
from admittance.protocol.channel.edhoc import ChannelKey, Initiator, Responder
from admittance.wire import cbor
from tests.unit.protocol.channel.channel_world import APP_KEY, DEVICE_KEY, OTHER_KEY, listing, owner

REFUSALS = (Malformed, AuthenticationFailed, SuiteRefused)
POINT = DEVICE_KEY.credential.spki[27:59]


def responder(*keys: ChannelKey) -> Responder:
    return Responder(DEVICE_KEY, listing(*(owner(key) for key in keys or (APP_KEY,))))


def test_both_sides_agree() -> None:
    initiator, answering = Initiator(APP_KEY, DEVICE_KEY.credential), responder()
    message_2 = answering.receive_message_1(initiator.message_1())
    message_4, entry = answering.receive_message_3(initiator.receive_message_2(message_2))
    keys = initiator.receive_message_4(message_4)
    assert entry == owner()
    assert (keys.master_secret, keys.master_salt) == (answering.keys.master_secret, answering.keys.master_salt)
    assert (keys.sender_id, keys.recipient_id) == (answering.keys.recipient_id, answering.keys.sender_id)
    assert len(keys.master_secret) == 16
    assert len(keys.master_salt) == 8
    assert keys.master_secret.hex() not in repr(keys)


def test_each_handshake_gives_other_keys() -> None:
    secrets = set()
    for _ in range(3):
        initiator, answering = Initiator(APP_KEY, DEVICE_KEY.credential), responder()
        answering.receive_message_3(initiator.receive_message_2(answering.receive_message_1(initiator.message_1())))
        secrets.add(answering.keys.master_secret)
    assert len(secrets) == 3


def test_connection_ids_avoid_those_in_use_and_each_other() -> None:
    taken = {bytes((number,)) for number in range(22)}
    initiator = Initiator(APP_KEY, DEVICE_KEY.credential, taken)
    answering = responder()
    answering.receive_message_1(initiator.message_1(), taken)
    assert answering.connection_id == b"\x17"
    with pytest.raises(QuotaExceeded):
        responder().receive_message_1(Initiator(APP_KEY, DEVICE_KEY.credential, taken).message_1(), taken | {b"\x17"})
    with pytest.raises(QuotaExceeded):
        Initiator(APP_KEY, DEVICE_KEY.credential, taken | {b"\x16", b"\x17"})


def test_an_app_that_is_not_listed_fails_as_one_without_the_key() -> None:
    errors = []
    for answering in (responder(OTHER_KEY), lying_responder()):
        initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
        message_3 = initiator.receive_message_2(answering.receive_message_1(initiator.message_1()))
        with pytest.raises(AuthenticationFailed) as caught:
            answering.receive_message_3(message_3)
        errors.append(str(caught.value))
        with pytest.raises(Misuse):
            _ = answering.keys
    assert errors[0] == errors[1]


def test_a_device_does_not_talk_to_itself() -> None:
    """Its own credential stands in for one that is not listed, and does hold for who has its key."""
    initiator, answering = Initiator(DEVICE_KEY, DEVICE_KEY.credential), responder()
    message_3 = initiator.receive_message_2(answering.receive_message_1(initiator.message_1()))
    with pytest.raises(AuthenticationFailed):
        answering.receive_message_3(message_3)


def test_an_app_that_is_not_listed_is_verified_all_the_same() -> None:
    """What is left out for a key that is not listed would tell by its time which keys are."""

    class Spied:
        def __init__(self, side: object) -> None:
            self.side = side
            self.verified: list[bytes] = []

        def __getattr__(self, name: str) -> object:
            return getattr(self.side, name)

        def verify_message_3(self, credential: bytes) -> None:
            self.verified.append(credential)
            self.side.verify_message_3(credential)

    initiator, answering = Initiator(APP_KEY, DEVICE_KEY.credential), responder(OTHER_KEY)
    message_3 = initiator.receive_message_2(answering.receive_message_1(initiator.message_1()))
    answering._lakers = spied = Spied(answering._lakers)
    with pytest.raises(AuthenticationFailed):
        answering.receive_message_3(message_3)
    assert spied.verified == [DEVICE_KEY.credential.value]


def lying_responder() -> Responder:
    """It knows the app's kid, but as another's key."""
    return Responder(DEVICE_KEY, lambda kid: owner(OTHER_KEY))


def test_another_device_is_not_accepted() -> None:
    initiator = Initiator(APP_KEY, OTHER_KEY.credential)
    message_2 = responder().receive_message_1(initiator.message_1())
    with pytest.raises(AuthenticationFailed):
        initiator.receive_message_2(message_2)


def test_a_device_with_the_name_but_not_the_key_is_not_accepted() -> None:
    """An impostor that knows the device's credential, but not its private key."""
    impostor = lakers.EdhocResponder(OTHER_KEY.scalar, DEVICE_KEY.credential.value)
    initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
    impostor.process_message_1(initiator.message_1().removeprefix(b"\xf5"))
    message_2 = bytes(impostor.prepare_message_2(lakers.CredentialTransfer.ByReference, b"\x07"))
    with pytest.raises(AuthenticationFailed):
        initiator.receive_message_2(message_2)


def test_a_reflected_connection_id_is_refused() -> None:
    mirror = lakers.EdhocResponder(DEVICE_KEY.scalar, DEVICE_KEY.credential.value)
    initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
    connection_id, _ = mirror.process_message_1(initiator.message_1().removeprefix(b"\xf5"))
    message_2 = bytes(mirror.prepare_message_2(lakers.CredentialTransfer.ByReference, bytes(connection_id)))
    with pytest.raises(AuthenticationFailed):
        initiator.receive_message_2(message_2)


def test_a_failed_side_is_good_for_nothing_more() -> None:
    initiator, answering = Initiator(APP_KEY, DEVICE_KEY.credential), responder()
    message_2 = answering.receive_message_1(initiator.message_1())
    bad = message_2[:-1] + bytes((message_2[-1] ^ 1,))
    for message in (bad, message_2, message_2):
        with pytest.raises(AuthenticationFailed):
            initiator.receive_message_2(message)
    with pytest.raises(Misuse):
        initiator.message_1()


def message_1(*items: object) -> bytes:
    return b"\xf5" + b"".join(cbor.encode(item) for item in items)


@pytest.mark.parametrize(
    "payload",
    [
        message_1(3, 2, POINT, 5)[1:],
        message_1(0, 2, POINT, 5),
        message_1(True, 2, POINT, 5),
        message_1(3, [2], POINT, 5),
        message_1(3, [], POINT, 5),
        message_1(3, [1] * 8 + [2], POINT, 5),
        message_1(3, "2", POINT, 5),
        message_1(3, [True, 2], POINT, 5),
        message_1(3, 2, POINT[1:], 5),
        message_1(3, 2, POINT.hex()[:32], 5),
        message_1(3, 2, POINT, 24),
        message_1(3, 2, POINT, -25),
        message_1(3, 2, POINT, b"\x05"),
        message_1(3, 2, POINT, bytes(8)),
        message_1(3, 2, POINT, None),
        message_1(3, 2, POINT),
        message_1(3, 2, POINT, 5, -1),
        message_1(3, 2, POINT, 5, b"extra"),
        message_1(3, 2, POINT, 5, 1, b"extra", b"extra"),
        message_1(3, 2, POINT, 5, 1, "extra"),
        message_1(3, 2, POINT, 5, True),
        message_1(3, 2, POINT, 5, 1, 1, 1, 1, 1),
        message_1(3, 2, bytes(32), 5) + bytes(200),
    ],
)
def test_a_first_message_that_is_none_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        responder().receive_message_1(payload)


@pytest.mark.parametrize("items", [(), (0,), (1, b"extra"), (0, b"padding", 14), (9, 10)])
def test_extra_data_that_is_not_critical_is_ignored(items: tuple[object, ...]) -> None:
    responder().receive_message_1(message_1(3, 2, POINT, 5, *items))


@pytest.mark.parametrize("suites", [0, 6, [2, 6], [2, 2], [6, 2, 2]])
def test_other_suites_than_ours_are_refused(suites: object) -> None:
    with pytest.raises(SuiteRefused):
        responder().receive_message_1(message_1(3, suites, POINT, 5))


def test_a_point_off_the_curve_never_reaches_lakers(capfd: pytest.CaptureFixture[str]) -> None:
    """lakers panics on one, and writes a trace to the standard error."""
    for number in range(40):
        x = number.to_bytes(32, "big")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x)
        except ValueError:
            with pytest.raises(Malformed):
                responder().receive_message_1(message_1(3, 2, x, 5))
            initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
            initiator.message_1()
            with pytest.raises(Malformed):
                initiator.receive_message_2(cbor.encode(x + bytes(19)))
    assert capfd.readouterr().err == ""


def test_a_panic_of_lakers_is_an_authentication_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.protocol.channel.edhoc._check_point", lambda x: None)
    with pytest.raises(AuthenticationFailed):
        responder().receive_message_1(message_1(3, 2, b"\xff" * 32, 5))


def test_what_is_no_failure_of_lakers_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def prepare_message_1(self, connection_id: bytes) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr("admittance.protocol.channel.edhoc.lakers.EdhocInitiator", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        Initiator(APP_KEY, DEVICE_KEY.credential).message_1()


@given(st.binary(max_size=140))
@settings(deadline=None, max_examples=60)
def test_whatever_arrives_first_is_taken_or_refused(data: bytes) -> None:
    with pytest.raises(REFUSALS):
        responder().receive_message_1(data)
    with pytest.raises(REFUSALS):
        responder().receive_message_3(data)
    initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
    initiator.message_1()
    with pytest.raises(REFUSALS):
        initiator.receive_message_2(data)


@given(st.binary(max_size=70))
@settings(deadline=None, max_examples=60)
def test_whatever_follows_the_point_of_message_2_is_refused(data: bytes) -> None:
    initiator = Initiator(APP_KEY, DEVICE_KEY.credential)
    initiator.message_1()
    with pytest.raises(REFUSALS):
        initiator.receive_message_2(cbor.encode(POINT + data))


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=40)
def test_whatever_comes_as_message_3_or_4_is_refused(data: bytes) -> None:
    initiator, answering = Initiator(APP_KEY, DEVICE_KEY.credential), responder()
    message_2 = answering.receive_message_1(initiator.message_1())
    initiator.receive_message_2(message_2)
    with pytest.raises(REFUSALS):
        answering.receive_message_3(answering.connection_id + cbor.encode(data))
    with pytest.raises(REFUSALS):
        initiator.receive_message_4(cbor.encode(data))


def test_a_channel_key_is_on_p256() -> None:
    with pytest.raises(KeyRefused):
        ChannelKey(ec.generate_private_key(ec.SECP384R1()))
