"""The people API of the server, as an async client. Every refusal is raised as the error that it is."""

import ssl
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from admittance.client import api_types as types
from admittance.client.api_problems import error_of, network_failure
from admittance.client.dpop import DpopKey
from admittance.client.integrity.attestation import Attestations
from admittance.client.oauth.authorization_server import (
    NONCE_NOT_TAKEN,
    NONCE_TRIES,
    AttestationHeaders,
    AuthorizationServer,
    TokenAnswer,
    not_attested,
)
from admittance.client.oauth.browser_login import BrowserLogin
from admittance.client.oauth.device_grant import DeviceAuthorization, DeviceGrant
from admittance.client.oauth.prover import Prover
from admittance.client.session_store import Session, SessionStore
from admittance.errors import AuthenticationFailed, Malformed, NonceRequired
from admittance.wire import base64url

TIMEOUT_S = 30.0
RENEW_BEFORE_S = 30

A = TypeVar("A", bound=types.Answer)
E = TypeVar("E")


class ApiClient:
    """One account's connection to one server; use it as an async context manager.

    Every method raises `NetworkFailure` (cause `no_server` or `untrusted_server`), `Unavailable`, or the `Refused`
    error that the server names by its code; `Malformed` for an answer that is no answer.

    Args:
        origin: `https://host[:port]`.
        key: signs the proofs; tokens are bound to it.
        access_token: of an earlier login, or None.
        trust: the TLS context, unused when `transport` is given.
        transport: how requests reach the server, for a phone that has its own radio.
        clock: tells Unix seconds.
        attested: gives the headers that show this app's attestation, which is of the same key.
    """

    def __init__(
        self,
        origin: str,
        *,
        key: DpopKey,
        access_token: str | None = None,
        trust: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        attested: AttestationHeaders = not_attested,
    ) -> None:
        self.origin = origin
        self._prover = Prover(origin, key, clock)
        self._server = AuthorizationServer(self._prover, self._send_form, attested)
        self._access_token = access_token
        self._refresh_token: str | None = None
        self._store: SessionStore | None = None
        self._expires_at = float("inf")
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=trust or True,
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
            headers={"accept": "application/json"},
        )

    @classmethod
    def of_store(
        cls,
        store: SessionStore,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """The client of a stored login, which renews its tokens and stores the new ones.

        Raises `AuthenticationFailed` when nobody is logged in, `ConfigurationError` for a damaged profile.
        """
        session = store.load()
        key = store.key()
        made = cls(
            session.origin,
            key=key,
            trust=None if transport else session.trust(),
            transport=transport,
            attested=Attestations(store.directory, key).headers,
            clock=clock,
        )
        made._store = store
        made._carry(session)
        return made

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def discover(self) -> types.Discovery:
        return await self.ask("GET", "/.well-known/admittance", types.Discovery, proven=False)

    async def accept_invite(
        self, secret: str, *, email: str, password: str, display_name: str
    ) -> types.AcceptedInvite:
        content = {"secret": secret, "email": email, "password": password, "display_name": display_name}
        return await self.ask("POST", "/api/invites/accept", types.AcceptedInvite, content, proven=False)

    async def create_invite(
        self, email: str, *, operator: bool = False, quota: int | None = None
    ) -> types.CreatedInvite:
        content = {"email": email, "operator": operator, "quota": quota}
        return await self.ask("POST", "/api/invites", types.CreatedInvite, content)

    async def login(self, email: str, password: str) -> TokenAnswer:
        """Get tokens; this client carries them from now on."""
        return self._take(await self._server.login(email, password))

    async def login_in_browser(self, show: Callable[[str], None]) -> TokenAnswer:
        """Get tokens by a browser on this machine; `show` gets the address to open in it.

        Raises `AuthenticationFailed` when the person said no, or gave no answer in time.
        """
        return self._take(await BrowserLogin(self._server, self.origin).run(show))

    async def login_by_device(self, show: Callable[[DeviceAuthorization], None]) -> TokenAnswer:
        """Get tokens by the device grant; `show` tells the person where to enter which code.

        Raises `AuthenticationFailed` when the person said no, or gave no answer in time.
        """
        grant = DeviceGrant(self._server)
        begun = await grant.begin()
        show(begun)
        return self._take(await grant.finish(begun))

    async def logout(self) -> None:
        """End the login at the server, with all its tokens."""
        if self._refresh_token is None:
            raise AuthenticationFailed("You are not logged in. Run: admit account login")
        await self._server.revoke(self._refresh_token)
        self._access_token = self._refresh_token = None

    async def renew(self) -> None:
        """Get the next tokens of a stored login where the access token ends soon.

        Raises `AuthenticationFailed` when the login has ended.
        """
        if self._store is None or self._prover.now() < self._expires_at - RENEW_BEFORE_S:
            return
        async with self._store.renewing():
            session = self._store.load()
            if self._prover.now() >= session.expires_at - RENEW_BEFORE_S:
                answer = await self._server.refresh(session.refresh_token)
                session = msgspec.structs.replace(
                    session,
                    access_token=answer.access_token,
                    refresh_token=answer.refresh_token,
                    expires_at=int(self._prover.now()) + answer.expires_in,
                )
                self._store.save(session)
        self._carry(session)

    def now(self) -> float:
        """Unix seconds."""
        return self._prover.now()

    async def exchange(self, form: dict[str, str], into: type[E]) -> E:
        """Exchange the login for a token of a resource (RFC 8693).

        Raises `AuthenticationFailed` when nobody is logged in.
        """
        await self.renew()
        if self._access_token is None:
            raise AuthenticationFailed("You are not logged in. Run: admit account login")
        return await self._server.exchange(self._access_token, form, into)

    async def account(self) -> types.Account:
        return await self.ask("GET", "/api/account", types.Account)

    async def models(self) -> list[types.Model]:
        return (await self.ask("GET", "/api/models", types.Models)).models

    async def networks(self) -> list[types.StoredNetwork]:
        return (await self.ask("GET", "/api/networks", types.Networks)).networks

    async def put_network(self, name: str, *, ssid: str, passphrase: str) -> types.StoredNetwork:
        content = {"ssid": ssid, "passphrase": passphrase}
        return await self.ask("PUT", f"/api/networks/{_segment(name)}", types.StoredNetwork, content)

    async def remove_network(self, name: str) -> None:
        await self.call("DELETE", f"/api/networks/{_segment(name)}")

    async def setup(self, device_id: str) -> types.Setup:
        """What the server tells of a scanned setup code; an unknown device gets a dummy."""
        return await self.ask("POST", f"/d/{_segment(device_id)}", types.Setup)

    async def challenge(self, device_id: str | None = None) -> types.Challenge:
        content = {"purpose": "provision"} if device_id is None else {"purpose": "provision", "device_id": device_id}
        return await self.ask("POST", "/api/challenges", types.Challenge, content)

    async def presence_code(self, *, challenge: bytes, device_id: str, window_nonce: bytes) -> types.PresenceCode:
        content = {
            "challenge": base64url.encode(challenge),
            "device_id": device_id,
            "window_nonce": base64url.encode(window_nonce),
        }
        return await self.ask("POST", "/api/presence-codes", types.PresenceCode, content)

    async def activate(
        self,
        *,
        challenge: bytes,
        evidence: bytes,
        binding: bytes,
        transaction_id: bytes,
        network_name: str | None = None,
        app_key: bytes | None = None,
    ) -> types.Activation:
        """Hand in evidence. The network is the app's affair, or with `network_name` one that the server stores,
        which it encrypts under `app_key` (32 bytes). The same call again gives the same answer.
        """
        network: dict[str, str] = {"mode": "app"}
        if network_name is not None and app_key is not None:
            network = {"mode": "server", "name": network_name, "app_key": base64url.encode(app_key)}
        content = {
            "challenge": base64url.encode(challenge),
            "evidence": base64url.encode(evidence),
            "binding": base64url.encode(binding),
            "transaction_id": base64url.encode(transaction_id),
            "network": network,
        }
        return await self.ask("POST", "/api/activations", types.Activation, content)

    async def devices(self, *, everyones: bool = False) -> list[types.Device]:
        """The account's devices; with `everyones`, all of the server (operators)."""
        query = "?all=1" if everyones else ""
        return (await self.ask("GET", "/api/devices", types.Devices, query=query)).devices

    async def device(self, device_id: str) -> types.Device:
        return await self.ask("GET", f"/api/devices/{_segment(device_id)}", types.Device)

    async def revoke(self, device_id: str, reason: str) -> types.Device:
        path = f"/api/devices/{_segment(device_id)}/revoke"
        return await self.ask("POST", path, types.Device, {"reason": reason})

    async def release(self, device_id: str) -> types.Device:
        return await self.ask("POST", f"/api/devices/{_segment(device_id)}/release", types.Device)

    async def request(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        """Call a route that has no method here, with proof and token; returns the JSON value of its answer."""
        response = await self.call(method, path, content)
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{self.origin} gave an answer that is none of this API.") from error

    async def ask(
        self,
        method: str,
        path: str,
        into: type[A],
        content: dict[str, Any] | None = None,
        *,
        query: str = "",
        proven: bool = True,
    ) -> A:
        """Call a route and read its answer `into` a type; `proven` sends proof and token."""
        response = await self.call(method, path, content, query=query, proven=proven)
        try:
            return msgspec.json.decode(response.content, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{self.origin} gave an answer that is none of this API.") from error

    async def call(
        self,
        method: str,
        path: str,
        content: dict[str, Any] | None = None,
        *,
        query: str = "",
        proven: bool = True,
    ) -> httpx.Response:
        """Send a request; once more with the server's nonce where it asks for one (RFC 9449, section 8)."""
        if proven:
            await self.renew()
        for _ in range(NONCE_TRIES):
            response = await self._send(method, path, query, content, proven=proven)
            self._prover.take(response.headers)
            if response.is_success:
                return response
            error = error_of(response)
            if not isinstance(error, NonceRequired):
                raise error
        raise AuthenticationFailed(NONCE_NOT_TAKEN)

    async def download(self, path: str, accept: str) -> AsyncIterator[bytes]:
        """The content of what may be long, piece by piece as it comes; `accept` is its media type.

        Raises `Unreachable` when it ends early.
        """
        await self.renew()
        for _ in range(NONCE_TRIES):
            headers = {**self.proof_headers("GET", path), "accept": accept}
            try:
                async with self._http.stream("GET", self.origin + path, headers=headers) as response:
                    self._prover.take(response.headers)
                    if response.is_success:
                        async for piece in response.aiter_bytes():
                            yield piece
                        return
                    await response.aread()
            except httpx.TransportError as error:
                raise network_failure(self.origin, error) from error
            refusal = error_of(response)
            if not isinstance(refusal, NonceRequired):
                raise refusal
        raise AuthenticationFailed(NONCE_NOT_TAKEN)

    def proof_headers(self, method: str, path: str) -> dict[str, str]:
        """The headers that prove and authorize one request, also one that another connection sends.

        Call `renew` before.
        """
        return self._prover.headers(method, path, self._access_token)

    def take_nonce(self, nonce: str) -> None:
        """Carry the server's nonce in the next proofs (RFC 9449, section 8)."""
        self._prover.take({"dpop-nonce": nonce})

    def _take(self, answer: TokenAnswer) -> TokenAnswer:
        self._access_token, self._refresh_token = answer.access_token, answer.refresh_token
        return answer

    def _carry(self, session: Session) -> None:
        self._access_token, self._refresh_token = session.access_token, session.refresh_token
        self._expires_at = session.expires_at

    async def _send_form(self, path: str, form: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._http.post(self.origin + path, data=form, headers=headers)
        except httpx.TransportError as error:
            raise network_failure(self.origin, error) from error

    async def _send(
        self, method: str, path: str, query: str, content: dict[str, Any] | None, *, proven: bool
    ) -> httpx.Response:
        uri = self.origin + path
        headers = self.proof_headers(method, path) if proven else {}
        try:
            return await self._http.request(method, uri + query, json=content, headers=headers)
        except httpx.TransportError as error:
            raise network_failure(self.origin, error) from error


def _segment(text: str) -> str:
    return quote(text, safe="")
