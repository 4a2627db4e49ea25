"""T04. Means: an account's token, copied off its client together with proofs that were seen on the way. Goal: use it.

The key to which the token is bound stays on the owner's client.
"""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from joserfc import jwk, jws

from admittance.server.accounts.dpop import Nonces, token_hash
from admittance.wire import base64url
from tests.attack.oauth_site import app
from tests.attack.site import ON_SQLITE, Login, Site, code_of, new_key, seen
from tests.logins import CLIENT_ID

PATH = "/api/account"


class Proof:
    """A proof of the attacker's making: right in everything that a test does not change."""

    def __init__(self, victim: Login, key: Any = None) -> None:
        self.private_key = key or victim.private_key
        self.token = victim.token
        public = _members(self.private_key)
        self.header: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
        self.claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": victim.origin + PATH,
            "iat": int(time.time()),
            "nonce": victim.nonce,
            "ath": token_hash(victim.token),
        }

    def signed(self) -> str:
        key = jwk.import_key(_members(self.private_key, private=True))
        return jws.serialize_compact(self.header, json.dumps(self.claims), key, algorithms=["ES256"])

    def unsigned(self, signature: bytes) -> str:
        parts = [json.dumps(self.header).encode(), json.dumps(self.claims).encode(), signature]
        return ".".join(map(base64url.encode, parts))

    def with_hmac(self, secret: bytes) -> str:
        signed = self.unsigned(b"").rpartition(".")[0]
        return f"{signed}.{base64url.encode(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _members(key: Any, *, private: bool = False) -> dict[str, Any]:
    """The JWK of a key."""
    numbers = {name: getattr(key.public_key().public_numbers(), name) for name in ("x", "y")}
    if private:
        numbers["d"] = key.private_numbers().private_value
    coordinates = {name: base64url.encode(number.to_bytes(32, "big")) for name, number in numbers.items()}
    return {"kty": "EC", "crv": "P-256", **coordinates}


async def _try(site: Site, token: str, proof: str | None, scheme: str = "DPoP") -> httpx.Response:
    headers = {"authorization": f"{scheme} {token}"} | ({} if proof is None else {"dpop": proof})
    return await site.attacker.get(PATH, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def victim(site: Site) -> Login:
    """Somebody who is logged in, and has just used the token."""
    login = await site.somebody("victim")
    assert (await login.send("GET", PATH)).status_code == 200
    return login


def _changed(**claims: object) -> Callable[[Proof], str]:
    def make(proof: Proof) -> str:
        proof.claims |= claims
        proof.claims = {name: value for name, value in proof.claims.items() if value is not None}
        return proof.signed()

    return make


def _of_algorithm(algorithm: str, finish: Callable[[Proof], str]) -> Callable[[Proof], str]:
    def make(proof: Proof) -> str:
        proof.header["alg"] = algorithm
        return finish(proof)

    return make


def _with_private_members(proof: Proof) -> str:
    proof.header["jwk"] = _members(proof.private_key, private=True)
    return proof.signed()


def _public_pem(proof: Proof) -> bytes:
    return bytes(
        proof.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


BY_THE_RIGHT_KEY: dict[str, Callable[[Proof], str]] = {
    "another method": _changed(htm="POST"),
    "another path": lambda proof: _changed(htu=proof.claims["htu"].replace("account", "devices"))(proof),
    "another server": lambda proof: _changed(htu=f"https://evil.example{PATH}")(proof),
    "no token in the proof": _changed(ath=None),
    "another token": _changed(ath=token_hash("another")),
    "an hour old": _changed(iat=int(time.time()) - 3600),
    "from the future": _changed(iat=int(time.time()) + 3600),
    "no identifier": _changed(jti=None),
    "algorithm none": _of_algorithm("none", lambda proof: proof.unsigned(b"")),
    "algorithm none with a signature": _of_algorithm("none", lambda proof: proof.unsigned(b"signature")),
    "no signature": lambda proof: proof.unsigned(bytes(64)),
    "an HMAC under the public key": _of_algorithm("HS256", lambda proof: proof.with_hmac(_public_pem(proof))),
    "the private key inside": _with_private_members,
}
"""What somebody could have seen or made of the victim's key without having it; the last is what no client may do."""


@ON_SQLITE
async def test_the_control_is_accepted(site: Site, victim: Login) -> None:
    assert (await _try(site, victim.token, Proof(victim).signed())).status_code == 200


@ON_SQLITE
async def test_the_token_alone_is_worth_nothing(site: Site, victim: Login) -> None:
    bare = await _try(site, victim.token, None)
    bearer = await _try(site, victim.token, None, "Bearer")
    bearer_with_proof = await _try(site, victim.token, Proof(victim).signed(), "Bearer")
    invented = await _try(site, secrets.token_urlsafe(32), None)
    assert bare.status_code == 401
    assert code_of(bare) == "authentication_failed"
    assert seen(bare) == seen(bearer) == seen(bearer_with_proof) == seen(invented)


@ON_SQLITE
async def test_another_key_is_refused_like_an_unknown_token(site: Site, victim: Login) -> None:
    thief = await site.somebody("thief")
    assert (await thief.send("GET", PATH)).status_code == 200
    stolen = Login(site.origin, site.attacker, "", "", victim.token, new_key(), victim.nonce)
    logged_in = Login(site.origin, site.attacker, "", "", victim.token, thief.private_key, victim.nonce)
    unknown = Login(site.origin, site.attacker, "", "", secrets.token_urlsafe(32), thief.private_key, victim.nonce)
    answers = [await login.send("GET", PATH) for login in (stolen, logged_in, unknown)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({seen(answer) for answer in answers}) == 1


@ON_SQLITE
@pytest.mark.parametrize("name", BY_THE_RIGHT_KEY)
async def test_a_proof_for_something_else_is_refused(site: Site, victim: Login, name: str) -> None:
    refused = await _try(site, victim.token, BY_THE_RIGHT_KEY[name](Proof(victim)))
    assert refused.status_code == 401
    assert seen(refused) == seen(await _try(site, secrets.token_urlsafe(32), None))


@ON_SQLITE
async def test_a_recorded_request_is_good_once(site: Site, victim: Login) -> None:
    recorded = Proof(victim).signed()
    assert (await _try(site, victim.token, recorded)).status_code == 200
    replayed = await _try(site, victim.token, recorded)
    assert code_of(replayed) == "authentication_failed"


async def test_a_proof_sent_twenty_times_at_once_is_good_once(site: Site, victim: Login) -> None:
    recorded = Proof(victim).signed()
    answers = await asyncio.gather(*(_try(site, victim.token, recorded) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


@ON_SQLITE
async def test_proofs_made_in_advance_are_too_late(site: Site, victim: Login) -> None:
    """Whoever had the key for a moment can sign for the time to come, but not with the nonces of that time."""
    ours, foreign = Nonces(site.keystore.dpop_nonce_key), Nonces(secrets.token_bytes(32))
    now = time.time()
    for nonce in (None, ours.current(now - 180), ours.current(now + 3600), foreign.current(now), "", "0" * 22):
        refused = await _try(site, victim.token, _changed(nonce=nonce)(Proof(victim)))
        assert (refused.status_code, code_of(refused)) == (401, "use_dpop_nonce")
        assert "account_id" not in refused.text


@ON_SQLITE
async def test_two_proofs_are_no_better_than_one(site: Site, victim: Login) -> None:
    proofs = [("dpop", Proof(victim, new_key()).signed()), ("dpop", Proof(victim).signed())]
    answer = await site.attacker.get(PATH, headers=[("authorization", f"DPoP {victim.token}"), *proofs])
    assert answer.status_code == 401


@ON_SQLITE
async def test_a_stolen_refresh_token_gives_nothing_to_another_key_or_client(site: Site) -> None:
    victim, other = await site.account("refreshing"), await app(site)
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": victim.refresh_token}
    thief = Login(site.origin, site.attacker, "", "", "", new_key())
    by_another_key = await thief.post("/oauth/token", form)
    by_another_client = await victim.post("/oauth/token", {**form, "client_id": other.client_id})
    without_a_key = await site.attacker.post("/oauth/token", data=form)
    assert code_of(by_another_key) == code_of(by_another_client) == "invalid_grant"
    assert code_of(without_a_key) == "invalid_dpop_proof"
    assert (await victim.post("/oauth/token", form)).status_code == 200, "The owner is not locked out."


@ON_SQLITE
async def test_a_refresh_token_that_two_used_is_good_for_neither(site: Site) -> None:
    """The thief has the key as well: malware on the owner's machine that was there for a moment."""
    victim = await site.account("refreshing")
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": victim.refresh_token}
    stolen = await victim.post("/oauth/token", form)
    assert stolen.status_code == 200
    assert code_of(await victim.post("/oauth/token", form)) == "invalid_grant"
    victim.token = stolen.json()["access_token"]
    assert (await victim.send("GET", PATH)).status_code == 401
    again = {**form, "refresh_token": stolen.json()["refresh_token"]}
    assert code_of(await victim.post("/oauth/token", again)) == "invalid_grant"


@ON_SQLITE
async def test_a_token_that_was_logged_out_is_dead(site: Site) -> None:
    victim = await site.account()
    await victim.log_out()
    assert (await victim.send("GET", PATH)).status_code == 401


@ON_SQLITE
async def test_a_thief_changes_nothing(site: Site, victim: Login) -> None:
    """The same for what hurts: revoking a device, reading and storing networks, inviting."""
    device = site.take()
    await site.onboard(victim, device)
    before = await site.rows("devices", "certificates", "networks", "invites")
    thief = Login(site.origin, site.attacker, "", "", victim.token, new_key(), victim.nonce)
    for method, path, content in (
        ("POST", f"/api/devices/{device.device_id}/revoke", {"reason": "mine now"}),
        ("POST", f"/api/devices/{device.device_id}/release", None),
        ("PUT", "/api/networks/home", {"ssid": "Evil", "passphrase": "correct horse"}),
        ("POST", "/api/invites", {"email": "thief@example.org", "operator": True}),
    ):
        assert (await thief.send(method, path, content)).status_code == 401
    assert await site.rows("devices", "certificates", "networks", "invites") == before
