"""What the authorization server asks of others: who issues the tokens that devices take."""

from dataclasses import dataclass
from typing import Literal, Protocol

TokenFormat = Literal["reference", "cwt", "jwt"]


@dataclass(frozen=True)
class DeviceTokenRequest:
    """A client, proven by the key `jkt`, asks in the name of an account for a token at a device.

    `actions` such as ``PUT /lock``; none asks for all that the account's grants give. `client_share` has 32 bytes.
    `attested_until` is the Unix time until which the client's app is attested, None if it is not. The key ends with
    the login `session_id`. `token_format` None leaves it to what the device takes.
    `cnonce` is what an offline device without a clock gave.
    """

    account_id: str
    client_id: str
    jkt: str
    device_id: str
    actions: tuple[str, ...]
    client_share: bytes
    attested_until: int | None
    session_id: str
    token_format: TokenFormat | None = None
    cnonce: bytes = b""


@dataclass(frozen=True, repr=False)
class DeviceToken:
    """A token for a device: `access_token` is a reference, a CWT (both base64url) or a JWT; ends at `expires_at`.

    `epoch_list` is what the client may tell an offline device of what has ended; empty for others.
    """

    access_token: str
    expires_at: int
    actions: tuple[str, ...]
    server_share: bytes
    grant_id: str
    epoch_list: bytes = b""


class DeviceTokens(Protocol):
    """Issues tokens for devices by what the account was granted."""

    async def issue(self, request: DeviceTokenRequest) -> DeviceToken:
        """Make a possession key known to the device, or encrypt it to the device, and return the token for it.

        Raises:
            NotFound: no such device, or no grant for this account: the same.
            NotAllowed: outside the window, uses spent, or an action that is not granted.
            IntegrityRequired: the grant needs an attested app.
            Unavailable: the device did not acknowledge in time.
            Expired: the grant has ended.
        """
        ...
