"""T15. Means: an offline token and its key, of the attacker's own access, and all that is in range of the monitor.
Goal: more than was granted, by a token that was changed or made up.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from admittance.client.channel.content import Content
from admittance.errors import AuthenticationFailed, ChannelLost
from admittance.protocol.access.authz_info import PossessionKey
from admittance.protocol.access.encrypted_key import encrypt_key
from admittance.protocol.signing import SoftwareSigner
from admittance.wire import cwt
from admittance.wire.channel import GET, PUT, Permission
from admittance.wire.cose import Sign1
from admittance.wire.cose_key import SymmetricCoseKey
from admittance.wire.cwt import EncryptedKeyConfirmation
from tests.monitor_world import Ward, ward

READ_ONLY = (Permission("/measurements", GET),)
EVERYTHING = (Permission("/measurements", GET), Permission("/alarm", GET | PUT))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def monitor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened


def signed(token: bytes) -> Sign1:
    return Sign1.decode(token)


async def test_a_bit_of_the_token_is_flipped(monitor: Ward, tmp_path: Path) -> None:
    """One in each part: in the header, in the claims, in the encrypted key and in the signature."""
    key = monitor.issuer.token()
    for place in (3, 40, len(key.token) // 2, len(key.token) - 1):
        changed = bytearray(key.token)
        changed[place] ^= 1
        assert isinstance(
            await monitor.read(PossessionKey(bytes(changed), key.master_secret), tmp_path), AuthenticationFailed
        )
    assert isinstance(await monitor.read(key, tmp_path), Content)


async def test_the_scope_is_widened_under_the_old_signature(monitor: Ward, tmp_path: Path) -> None:
    key = monitor.issuer.token(scope=READ_ONLY)
    old = signed(key.token)
    claims = replace(cwt.decode(old.payload), scope=EVERYTHING)
    widened = replace(old, payload=cwt.encode(claims)).encode()
    assert isinstance(await monitor.read(PossessionKey(widened, key.master_secret), tmp_path), AuthenticationFailed)
    assert monitor.causes()[-1] == "signature_invalid"


async def test_a_token_is_signed_by_the_attacker(monitor: Ward, tmp_path: Path) -> None:
    """By a key of the attacker's, under the name of the server's, too."""
    forger = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    forged = monitor.issuer.token(signer=forger)
    genuine = signed(monitor.issuer.token().token)
    renamed = replace(signed(forged.token), protected_bytes=genuine.protected_bytes).encode()
    for token in (forged.token, renamed):
        refused = await monitor.read(PossessionKey(token, forged.master_secret), tmp_path)
        assert isinstance(refused, AuthenticationFailed)


async def test_the_key_inside_is_replaced_by_the_attackers(monitor: Ward, tmp_path: Path) -> None:
    """Anybody can encrypt to the monitor's access key; nobody else can sign that."""
    old = signed(monitor.issuer.token(scope=EVERYTHING).token)
    claims = cwt.decode(old.payload)
    secret = os.urandom(32)
    encrypted = encrypt_key(
        SymmetricCoseKey(secret, claims.cti),
        monitor.issuer.access_spki,
        ec.generate_private_key(ec.SECP256R1()),
        os.urandom(12),
    )
    payload = cwt.encode(replace(claims, confirmation=EncryptedKeyConfirmation(encrypted)))
    spliced = replace(old, payload=payload).encode()
    assert isinstance(await monitor.read(PossessionKey(spliced, secret), tmp_path), AuthenticationFailed)


async def test_a_token_that_was_seen_on_the_air_opens_nothing(monitor: Ward, tmp_path: Path) -> None:
    """The token travels in the clear; its key does not."""
    seen = monitor.issuer.token().token
    for guess in (bytes(32), seen[-32:]):
        outcome = await monitor.read(PossessionKey(seen, guess), tmp_path)
        assert isinstance(outcome, AuthenticationFailed | ChannelLost)
