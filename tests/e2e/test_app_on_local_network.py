"""An app and a device's agent on one network, without any server: found by multicast DNS, recovered by a kit."""

import asyncio
import os
from functools import partial
from pathlib import Path

from admittance.client.channel import discovery
from admittance.client.channel.cards import AppCard
from admittance.client.channel.connecting import connect_as
from admittance.client.channel.content import Content
from admittance.client.channel.credential_api import CredentialApi, entry_of, kit_entry
from admittance.client.channel.known_devices import KnownDevice
from admittance.client.channel.proxy import serve_proxy
from admittance.client.channel.recovery_kit import SEED_BYTES, RecoveryKit
from admittance.client.session_store import SessionStore
from admittance.device.keys import load_private_key
from admittance.device.state import StateFile
from admittance.protocol.channel.edhoc import ChannelKey
from admittance.protocol.signing import spki_of
from tests.agent_world import HOME, World, agent_world

PATIENCE_S = 30.0


async def provisioned(world: World, app: AppCard) -> KnownDevice:
    """A lock whose owner's app is `app`, as that app knows it."""
    agent = await world.start("--application", "lock", "--local", "127.0.0.1:0")
    await agent.event("code_shown")
    phone = await world.meet()
    await phone.configure(app.channel)
    await phone.send_network(1, HOME)
    await agent.event("enrolled")
    record = StateFile(world.state).load()
    assert record is not None
    return KnownDevice(
        device_id=world.made.birth.device_id,
        origin="",
        channel=spki_of(load_private_key(record.keys.channel).public_key()),
        epoch=record.epoch,
        name="lock",
    )


async def test_owner_stock_client_and_recovery_kit_reach_a_device_without_a_server(tmp_path: Path) -> None:
    store, new = SessionStore(tmp_path / "phone"), SessionStore(tmp_path / "new phone")
    find = partial(discovery.find, interfaces=["127.0.0.1"], find_timeout_s=PATIENCE_S)
    app = store.app_keys().card("phone")
    async with agent_world(tmp_path) as world:
        known = await provisioned(world, app)
        own = ChannelKey(store.app_keys().channel)
        kit = RecoveryKit(known.device_id, known.epoch, os.urandom(SEED_BYTES), known.channel)
        async with connect_as(store, known, own, local=True, find=find) as device:
            await device.put("/lock", Content.of_cbor({"state": "unlocked"}))
            assert (await device.get("/lock")).cbor() == {"state": "unlocked"}
            assert (await device.get("/info")).cbor()["device_id"] == known.device_id
            async with serve_proxy(device, 0) as port:
                client = await asyncio.create_subprocess_exec(
                    *("coap-client-notls", "-B", "10", f"coap://127.0.0.1:{port}/.well-known/core"),
                    stdout=asyncio.subprocess.PIPE,
                )
                links, _ = await asyncio.wait_for(client.communicate(), PATIENCE_S)
            assert b"</lock>" in links
            await CredentialApi(device).add(kit_entry(kit, "kit"))
        read = RecoveryKit.of_text(kit.text())
        card = new.app_keys().card("new phone")
        async with connect_as(new, known, ChannelKey(read.key()), local=True, find=find) as device:
            await CredentialApi(device).add(entry_of(card, "owner", read.epoch))
        async with connect_as(new, known, ChannelKey(new.app_keys().channel), local=True, find=find) as device:
            api = CredentialApi(device)
            await api.remove((await api.find(ChannelKey(store.app_keys().channel).credential.kid.hex())).kid)
            assert {listed.name for listed in await api.list() if listed.role == "owner"} == {"new phone"}
