"""A device agent as a process on the local network, with peers that are none of ours: zeroconf finds it, and aiocoap
talks to it by EDHOC and OSCORE."""

import asyncio
from pathlib import Path
from typing import Any

import aiocoap
import cbor2
import pytest
from aiocoap.edhoc import EdhocCredentials
from cryptography.hazmat.primitives.asymmetric import ec
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from admittance.device.keys import load_private_key
from admittance.device.local.responder import SERVICE
from admittance.device.state import StateFile
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.signing import spki_of
from admittance.wire.channel import Credential
from tests.agent_world import HOME, World, agent_world

PATIENCE_S = 30.0
ONE_S = 1000.0


def credentials_of(own: ChannelKey, device: Credential) -> EdhocCredentials:
    return EdhocCredentials(
        suite=2,
        method=3,
        own_cred_style="by-key-id",
        own_cred={14: cbor2.loads(own.credential.value)},
        peer_cred={14: cbor2.loads(device.value)},
        private_key={1: 2, -1: 1, -4: own.scalar},
        use_combined_edhoc=False,
    )


def device_credential(world: World) -> Credential:
    record = StateFile(world.state).load()
    assert record is not None
    return Credential.from_spki(spki_of(load_private_key(record.keys.channel).public_key()))


async def found(device_id: str) -> tuple[str, int]:
    """Address and port, by mDNS."""
    browsing = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    try:
        info = AsyncServiceInfo(f"{SERVICE}.", f"{device_id}.{SERVICE}.")
        assert await info.async_request(browsing.zeroconf, PATIENCE_S * ONE_S)
        (address,) = info.parsed_addresses()
        assert info.port is not None
        return address, info.port
    finally:
        await browsing.async_close()


async def provisioned(world: World, app: ChannelKey) -> None:
    """A lock whose owner's app is `app`."""
    agent = await world.start("--application", "lock", "--local", "127.0.0.1:0")
    await agent.event("code_shown")
    phone = await world.meet()
    await phone.configure(app.credential.spki)
    await phone.send_network(1, HOME)
    await agent.event("enrolled")


async def test_a_stock_client_finds_the_device_and_talks_to_it_and_a_stranger_does_not(tmp_path: Path) -> None:
    app, stranger = (ChannelKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    async with agent_world(tmp_path) as world:
        await provisioned(world, app)
        address, port = await found(world.made.birth.device_id)
        device = device_credential(world)
        for own, is_listed in ((app, True), (stranger, False)):
            client = await aiocoap.Context.create_client_context(transports=["oscore", "simple6"])
            client.client_credentials[f"coap://{address}:{port}/*"] = credentials_of(own, device)

            async def ask(client: Any = client, **fields: Any) -> aiocoap.Message:
                uri = f"coap://{address}:{port}/lock"
                request = aiocoap.Message(uri=uri, **{"code": aiocoap.GET} | fields)
                return await asyncio.wait_for(client.request(request).response, PATIENCE_S)

            try:
                if not is_listed:
                    with pytest.raises(aiocoap.error.Error):
                        await ask()
                    continue
                order = cbor2.dumps({"state": "unlocked"})
                assert (await ask(code=aiocoap.PUT, payload=order)).code == aiocoap.CHANGED
                assert cbor2.loads((await ask()).payload) == {"state": "unlocked"}
            finally:
                await client.shutdown()
    assert (tmp_path / "state" / "application" / "bolt").read_text() == "unlocked\n"
