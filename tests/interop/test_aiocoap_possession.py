"""aiocoap as a constrained client of ACE's OSCORE profile (RFC 9203): it hands a token to a door lock, derives the
context by code that is not ours, and unlocks over UDP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import cbor2

from admittance.wire.access import GrantedKey
from tests.access_world import Site, access_site
from tests.interop.aiocoap_oscore import PeerContext

PATIENCE_S = 20.0
ACE_CBOR = 19
OURS = b"\x0a"
NONCE = bytes(range(8))
UNLOCKED, LOCKED = (cbor2.dumps({"state": state}) for state in ("unlocked", "locked"))


class Client:
    """A stock client with a token."""

    def __init__(self, context: aiocoap.Context, address: tuple[str, int]) -> None:
        self._context = context
        self._origin = f"coap://{address[0]}:{address[1]}"

    async def ask(self, code: aiocoap.Code, path: str, **fields: Any) -> aiocoap.Message:
        request = aiocoap.Message(code=code, uri=self._origin + path, **fields)
        return await asyncio.wait_for(self._context.request(request).response, PATIENCE_S)

    async def hand_over(self, key: GrantedKey) -> aiocoap.Code:
        """Post the token, and take the context into use if the device takes it."""
        posted = cbor2.dumps({1: key.token, 40: NONCE, 43: OURS})
        answer = await self.ask(aiocoap.POST, "/authz-info", payload=posted, content_format=ACE_CBOR)
        if answer.code == aiocoap.CREATED:
            assert answer.opt.content_format == ACE_CBOR
            fields = cbor2.loads(answer.payload)
            salt = cbor2.dumps(b"") + cbor2.dumps(NONCE) + cbor2.dumps(fields[42])
            self._context.client_credentials[f"{self._origin}/lock"] = PeerContext(
                key.master_secret, sender_id=fields[44], recipient_id=OURS, master_salt=salt
            )
        return answer.code


@asynccontextmanager
async def stock_client(site: Site) -> AsyncIterator[Client]:
    context = await aiocoap.Context.create_client_context(transports=["oscore", "simple6"])
    try:
        yield Client(context, site.address)
    finally:
        await context.shutdown()


async def test_a_stock_client_unlocks_by_a_token_once(tmp_path: Path) -> None:
    async with access_site(tmp_path) as site:
        key = site.granted(1)
        async with stock_client(site) as client:
            hinted = await client.ask(aiocoap.GET, "/lock")
            assert (hinted.code, hinted.opt.content_format) == (aiocoap.UNAUTHORIZED, ACE_CBOR)
            assert cbor2.loads(hinted.payload)[5].endswith(site.device_id)
            assert await client.hand_over(key) == aiocoap.UNAUTHORIZED
            await site.push(key)
            assert await client.hand_over(key) == aiocoap.CREATED
            assert cbor2.loads((await client.ask(aiocoap.GET, "/lock")).payload) == {"state": "locked"}
            assert (await client.ask(aiocoap.PUT, "/lock", payload=UNLOCKED)).code == aiocoap.CHANGED
            again = await client.ask(aiocoap.PUT, "/lock", payload=LOCKED)
            assert (again.code, b"as often as" in again.payload) == (aiocoap.FORBIDDEN, True)
        async with stock_client(site) as client:
            assert await client.hand_over(key) == aiocoap.UNAUTHORIZED
        assert (site.world.state / "application" / "bolt").read_text() == "unlocked\n"
