"""The DPoP verifier against RFC 9449, sections 4.3, 7 and 8."""

import base64
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws

from admittance.errors import AuthenticationFailed, NonceRequired
from admittance.server.accounts.dpop import IAT_WINDOW_S, NONCE_STEP_S, Nonces, ProofVerifier, normalise_uri
from tests.unit.server.accounts.conftest import ORIGIN, ClientKey

NOW = 1_800_000_030.0
NONCES = Nonces(b"n" * 32)
VERIFIER = ProofVerifier(origin=ORIGIN, nonces=NONCES)
TOKEN = "t" * 43
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
KEY = ClientKey()


def make(key: ClientKey = KEY, **changes: Any) -> str:
    given_parts: dict[str, Any] = {"now": NOW, "nonce": NONCES.current(NOW), "token": TOKEN, **changes}
    return key.proof(**given_parts)


def verify(proof: str, *, method: str = "GET", path: str = "/api/account", now: float = NOW) -> str:
    return VERIFIER.verify(proof, method=method, path=path, access_token=TOKEN, now=now).jkt


def test_a_good_proof_gives_the_keys_thumbprint() -> None:
    assert verify(make()) == KEY.jkt


def test_an_ed25519_proof_is_accepted() -> None:
    key = ClientKey("Ed25519")
    assert verify(make(key)) == key.jkt


def test_the_example_of_rfc_9449_figure_2_passes_all_but_its_outdated_nonce() -> None:
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpD"
        "a0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6"
        "IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGU"
        "uY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NV"
        "Y-FNyJK70nfbV37xRZT3Lg"
    )
    verifier = ProofVerifier(origin="https://server.example.com", nonces=NONCES)
    with pytest.raises(NonceRequired):
        verifier.verify(proof, method="POST", path="/token", access_token=None, now=1562262616)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"path": "/api/networks"},
        {"htu": "https://evil.example/api/account"},
        {"htu": "http://admittance.example/api/account"},
        {"htu": "https://admittance.example:8443/api/account"},
        {"htu": "https://user@admittance.example/api/account"},
        {"htu": "/api/account"},
        {"htu": "https://[::bad/api"},
        {"htu": 7},
        {"htu": "https://admittance.example:99999/api/account"},
        {"token": None},
        {"token": "u" * 43},
        {"ath": "ä"},
        {"ath": 5},
        {"now": NOW - IAT_WINDOW_S - 1},
        {"now": NOW + IAT_WINDOW_S + 1},
        {"iat": True},
        {"iat": "now"},
        {"iat": 10**400},
        {"iat": float("nan")},
        {"iat": float("inf")},
        {"jti": None},
        {"jti": "short"},
        {"jti": "x" * 129},
        {"jti": 12345678},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"jwk": None}},
        {"header": {"crit": ["b64"], "b64": True}},
    ],
)
def test_a_proof_for_something_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        verify(make(**changes))
    assert caught.type is AuthenticationFailed


@pytest.mark.parametrize("nonce", [None, "", "ä", "A" * 22, 5, NONCES.current(NOW - 2 * NONCE_STEP_S)])
def test_a_proof_without_a_current_nonce_is_told_the_nonce(nonce: Any) -> None:
    with pytest.raises(NonceRequired) as caught:
        verify(make(nonce=nonce))
    assert caught.value.nonce == NONCES.current(NOW)


def test_a_nonce_is_good_for_two_steps_on_every_node_and_no_longer() -> None:
    start = 1_800_000_000.0
    nonce = NONCES.current(start)
    other_node = Nonces(b"n" * 32)
    assert other_node.accepts(nonce, start + 2 * NONCE_STEP_S - 0.001)
    assert not other_node.accepts(nonce, start + 2 * NONCE_STEP_S)
    assert not other_node.accepts(nonce, start - 0.001)


def test_a_private_key_in_the_header_is_refused() -> None:
    with pytest.raises(AuthenticationFailed):
        verify(make(header={"jwk": KEY.key.as_dict(private=True)}))


def test_another_key_than_the_signers_is_refused() -> None:
    with pytest.raises(AuthenticationFailed):
        verify(make(header={"jwk": ClientKey().key.as_dict(private=False)}))


def test_a_point_off_the_curve_is_refused() -> None:
    public = KEY.key.as_dict(private=False)
    with pytest.raises(AuthenticationFailed):
        verify(make(header={"jwk": {**public, "y": public["x"]}}))


def test_a_coordinate_has_one_encoding() -> None:
    """Else one key would have several thumbprints."""
    public = KEY.key.as_dict(private=False)
    stray = ALPHABET[ALPHABET.index(str(public["x"])[-1]) + 1]
    with pytest.raises(AuthenticationFailed):
        verify(make(header={"jwk": {**public, "x": str(public["x"])[:-1] + stray}}))


def test_algorithms_beyond_ours_are_refused() -> None:
    secret = jwk.OctKey.generate_key(256)
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": secret.as_dict()}
    with pytest.raises(AuthenticationFailed):
        verify(jws.serialize_compact(header, b"{}", secret))
    rsa = jwk.RSAKey.generate_key(2048)
    header = {"typ": "dpop+jwt", "alg": "RS256", "jwk": {"kty": "RSA"}}
    with pytest.raises(AuthenticationFailed):
        verify(jws.serialize_compact(header, b"{}", rsa))
    encoded = base64.urlsafe_b64encode(json.dumps({"typ": "dpop+jwt", "alg": "none"}).encode()).rstrip(b"=").decode()
    with pytest.raises(AuthenticationFailed):
        verify(f"{encoded}.e30.AA")


GOOD = make()


@given(position=st.integers(0, len(GOOD) - 1), character=st.characters(max_codepoint=0x2FF))
def test_a_proof_with_one_changed_character_is_never_accepted_as_another(position: int, character: str) -> None:
    mutated = GOOD[:position] + character + GOOD[position + 1 :]
    try:
        assert verify(mutated) == KEY.jkt
    except AuthenticationFailed:
        return
    # ECDSA signatures end in bits that base64url ignores: only such a change leaves the proof as it was.
    assert position == len(GOOD) - 1 or mutated == GOOD
    assert mutated.rpartition(".")[0] == GOOD.rpartition(".")[0]


@given(
    st.one_of(
        st.text(), st.from_regex(r"[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{1,90}", fullmatch=True)
    )
)
def test_noise_raises_only_authentication_failed(noise: str) -> None:
    with pytest.raises(AuthenticationFailed):
        verify(noise)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
    max_leaves=6,
)


@given(
    name=st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]),
    value=JSON.filter(lambda value: value is not None),
)
def test_odd_claims_raise_only_authentication_failed(name: str, value: Any) -> None:
    proof = make(**({"method": "GET"} | {name: value}))
    try:
        verify(proof)
    except AuthenticationFailed:
        return
    assert name in ("jti", "iat")


@given(name=st.sampled_from(["typ", "alg", "jwk", "kid", "crit", "b64", "zip"]), value=JSON)
def test_odd_headers_raise_only_authentication_failed(name: str, value: Any) -> None:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.key.as_dict(private=False), name: value}

    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    with pytest.raises(AuthenticationFailed):
        verify(f"{part(header)}.{part({'jti': 'x' * 16})}.{'A' * 86}")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("https://H.example/a", "HTTPS://h.EXAMPLE:443/a"),
        ("https://h.example/a?b=c", "https://h.example/a#d"),
        ("https://h.example/%7euser", "https://h.example/~user"),
        ("https://h.example/a%2fb", "https://h.example/a%2Fb"),
        ("https://h.example", "https://h.example/"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
    ],
)
def test_uris_are_compared_after_normalisation(one: str, same: str) -> None:
    assert normalise_uri(one) == normalise_uri(same)


def test_an_encoded_slash_is_not_a_slash() -> None:
    assert normalise_uri("https://h.example/a%2Fb") != normalise_uri("https://h.example/a/b")
