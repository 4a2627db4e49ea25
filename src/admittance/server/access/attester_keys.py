"""The public keys of the integrity service that this server trusts: from a file, or fetched and cached."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from admittance.errors import ConfigurationError, Unavailable

FETCH_EVERY_S = 300.0
RETRY_AFTER_S = 5.0
MAX_AGE_S = 3600.0
"""How long keys count after they were last fetched; the service publishes new ones a day before they sign."""

_TIMEOUT_S = 10.0
_MAX_BYTES = 64 * 1024

log = structlog.stdlib.get_logger(__name__)

Keys = dict[str, ECKey]


class AttesterKeys(Protocol):
    """Where the keys come from."""

    def find(self, kid: str, now: float) -> ECKey | None:
        """The key of that id, if the service has it. Raises `Unavailable` when its keys are not known."""
        ...


class KeyFile:
    """A copy of the service's JWK set, taken up when the file changes. Raises `ConfigurationError` at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._keys: Keys = {}
        self._read()

    def find(self, kid: str, _now: float) -> ECKey | None:
        try:
            if self._path.stat().st_mtime_ns != self._seen:
                self._read()
        except (OSError, ConfigurationError) as error:
            log.error("attester_keys_unreadable", path=str(self._path), reason=str(error))
        return self._keys.get(kid)

    def _read(self) -> None:
        try:
            seen = self._path.stat().st_mtime_ns
            self._keys = parse_keys(self._path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"[integrity] jwks_file {self._path}: {error.strerror}") from None
        except ValueError as error:
            raise ConfigurationError(f"[integrity] jwks_file {self._path}: {error}") from None
        self._seen = seen


class FetchedKeys:
    """The JWK set at a URL, once `run` is running.

    `trust` are the CAs that may vouch for the URL. While the service is away the last keys count for `MAX_AGE_S`.
    """

    def __init__(self, url: str, *, trust: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._url = url
        self._trust = trust
        self._clock = clock
        self._keys: Keys = {}
        self._fetched_at = float("-inf")

    def find(self, kid: str, now: float) -> ECKey | None:
        if now - self._fetched_at > MAX_AGE_S:
            raise Unavailable("The integrity service's keys are not known at the moment. Try again later.")
        return self._keys.get(kid)

    async def run(self) -> None:
        """Fetch the keys every `FETCH_EVERY_S`, or sooner after a failure, until cancelled."""
        while True:
            fetched = await self.refresh()
            await asyncio.sleep(FETCH_EVERY_S if fetched else RETRY_AFTER_S)

    async def refresh(self) -> bool:
        """Fetch the keys. A failure is logged, and what was fetched before stays; then False."""
        try:
            content = await self._fetch()
            self._keys = parse_keys(content)
        except (httpx.HTTPError, ValueError) as error:
            log.warning("attester_keys_not_fetched", url=self._url, reason=str(error) or type(error).__name__)
            return False
        self._fetched_at = self._clock()
        return True

    async def _fetch(self) -> bytes:
        async with (
            httpx.AsyncClient(verify=self._trust, timeout=_TIMEOUT_S, trust_env=False) as client,
            client.stream("GET", self._url) as answer,
        ):
            answer.raise_for_status()
            content = bytearray()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise ValueError("the key set is too large")
        return bytes(content)


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    kid: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class _JwkSet(msgspec.Struct, frozen=True):
    keys: tuple[_Jwk, ...]


def parse_keys(content: bytes) -> Keys:
    """The P-256 keys of a JWK set (RFC 7517, section 5), by their ids; others are left out.

    Raises:
        ValueError: not a JWK set, or without a key that we can use.
    """
    try:
        found = msgspec.json.decode(content, type=_JwkSet)
        keys = {
            key.kid: ECKey.import_key({"kty": "EC", "crv": key.crv, "x": key.x, "y": key.y})
            for key in found.keys
            if key.kty == "EC" and key.crv == "P-256" and key.kid
        }
    except (msgspec.MsgspecError, JoseError, UnicodeDecodeError) as error:
        raise ValueError(f"no JWK set: {error}") from None
    if not keys:
        raise ValueError("no P-256 key with an id in it")
    return keys
