"""Asking the server for a possession key of a device, under what the account was granted (RFC 8693, 8707)."""

import os
from collections.abc import Callable, Sequence

import msgspec

from admittance.client.api import ApiClient
from admittance.client.oauth.authorization_server import CLIENT_ID
from admittance.client.possession.key_store import HeldKey
from admittance.errors import Malformed
from admittance.protocol.access.possession import SHARE_BYTES, master_secret
from admittance.wire import base64url

PROFILE = "coap_oscore"


class _Answer(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: int
    scope: str
    ace_profile: str
    server_share: str
    grant: str
    epoch_list: str = ""


async def ask_for_key(
    client: ApiClient,
    device_id: str,
    actions: Sequence[str] = (),
    *,
    name: str = "",
    cnonce: bytes = b"",
    random: Callable[[int], bytes] = os.urandom,
) -> HeldKey:
    """A key for `actions`, such as ``PUT /lock``; none asks for all that one grant allows. `name` is the device's,
    `cnonce` what an offline device without a clock gave (`hints.ask_hints`).

    Raises what `ApiClient` raises: `NotFound` where nothing was granted, `OutsideWindow`, `UsesSpent`,
    `IntegrityRequired`, `NotAllowed`, `Expired`, and `Unavailable` where the device did not answer.
    """
    share = random(SHARE_BYTES)
    form = {
        "resource": f"{client.origin}/d/{device_id}",
        "client_share": base64url.encode(share),
    }
    if actions:
        form["scope"] = " ".join(action.replace(" ", ":", 1) for action in actions)
    if cnonce:
        form["cnonce"] = base64url.encode(cnonce)
    began = client.now()
    answer = await client.exchange(form, _Answer)
    if answer.ace_profile != PROFILE:
        raise Malformed("The server gave a token of a profile that is none of ours.")
    secret = master_secret(
        base64url.decode(answer.server_share, length=SHARE_BYTES),
        client_share=share,
        device_id=device_id,
        client=CLIENT_ID,
        grant=base64url.decode(answer.grant),
    )
    return HeldKey(
        device_id=device_id,
        origin=client.origin,
        name=name or device_id,
        token=base64url.decode(answer.access_token),
        master_secret=secret,
        grant=answer.grant,
        actions=[action.replace(":", " ", 1) for action in answer.scope.split()],
        expires_at=int(began) + answer.expires_in,
        epoch_list=base64url.decode(answer.epoch_list),
    )
