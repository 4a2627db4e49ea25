"""The device behind its access point, over HTTP."""

import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from admittance.client.channel.cards import AppCard
from admittance.client.network import ACCESS_POINT, PhoneNetwork, transport
from admittance.client.provisioning_events import SeenNetwork
from admittance.client.provisioning_ports import Link, PossessionCode
from admittance.errors import InsecureDevice
from admittance.protocol.provisioning.client import (
    Call,
    ProvisioningClient,
    Request,
    Response,
    read_version,
    run,
)
from admittance.wire import provisioning_messages as wire
from admittance.wire.protocomm.parsing import MAX_BODY_BYTES

# A blocking scan of all channels takes a radio some seconds.
ANSWER_TIMEOUT_S = 15.0

Result = TypeVar("Result")


class HttpDoor:
    """`Door` of the device whose access point the phone is on."""

    def __init__(self, network: PhoneNetwork, random: Callable[[int], bytes]) -> None:
        host, port = ACCESS_POINT
        self._random = random
        self._http = httpx.AsyncClient(
            transport=transport(network, ssl.create_default_context()),
            base_url=f"http://{host}:{port}",
            timeout=ANSWER_TIMEOUT_S,
            trust_env=False,
        )

    async def window(self) -> bytes | None:
        version = await run(read_version(), self._exchange)
        return version.admit.window_nonce if version.admit else None

    async def enter(self, code: PossessionCode) -> Link:
        client = ProvisioningClient(code.username, code.code, self._random)
        await run(client.open(), self._exchange)
        return DeviceLink(client, self._exchange)

    async def close(self) -> None:
        """End the connections to the device."""
        await self._http.aclose()

    async def _exchange(self, request: Request) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if request.cookie is not None:
            headers["Cookie"] = f"session={request.cookie}"
        answer = await self._http.post(f"/{request.endpoint}", content=request.body, headers=headers)
        if len(answer.content) > MAX_BODY_BYTES:
            raise InsecureDevice("The device's answer is too long. Scan the code that it shows now.")
        cookie = answer.cookies.get("session")
        self._http.cookies.clear()
        return Response(answer.status_code, answer.content, cookie)


class DeviceLink:
    """`Link` over one proven session."""

    def __init__(self, client: ProvisioningClient, exchange: Callable[[Request], Awaitable[Response]]) -> None:
        self._client = client
        self._exchange = exchange

    @property
    def binding(self) -> bytes:
        return self._client.binding

    async def hello(self) -> wire.Hello:
        return await self._run(self._client.ask(wire.HELLO, wire.HelloRequest(), wire.Hello))

    async def evidence(self, challenge: bytes) -> wire.EvidenceAnswer:
        request = wire.EvidenceRequest(challenge)
        return await self._run(self._client.ask(wire.EVIDENCE, request, wire.EvidenceAnswer))

    async def networks(self) -> list[SeenNetwork]:
        found = await self._run(self._client.scan())
        strongest: dict[str, SeenNetwork] = {}
        for network in sorted(found, key=lambda seen: seen.signal_dbm, reverse=True):
            seen = SeenNetwork(network.ssid, network.signal_dbm, network.auth == "open")
            strongest.setdefault(network.ssid, seen)
        return list(strongest.values())

    async def configure(self, sealed: bytes, app_key: bytes, app: AppCard) -> None:
        request = wire.ConfigurationRequest(sealed, app_key, app.channel, app.signing, app.name)
        await self._run(self._client.ask(wire.CONFIG, request, wire.ConfigurationAnswer))

    async def send_network(self, attempt: int, salt: bytes, ciphertext: bytes) -> None:
        request = wire.NetworkRequest(attempt, salt, ciphertext)
        await self._run(self._client.ask(wire.NETWORK, request, wire.NetworkAnswer))

    async def send_code(self, code: str) -> None:
        await self._run(self._client.ask(wire.CODE, wire.CodeRequest(code), wire.CodeAnswer))

    async def status(self) -> wire.Status:
        return await self._run(self._client.ask(wire.STATUS, wire.StatusRequest(), wire.Status))

    async def _run(self, call: Call[Result]) -> Result:
        return await run(call, self._exchange)
