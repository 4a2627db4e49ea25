"""Bearer secrets of 256 bits: made here, stored only as an HMAC."""

import hmac
import re
import secrets

from admittance.errors import Malformed

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_secret() -> str:
    """32 random bytes in base64url, 43 characters."""
    return secrets.token_urlsafe(32)


class SecretHasher:
    """The form in which one kind of secret is stored: HMAC-SHA256 under the server's key and the kind's label."""

    def __init__(self, key: bytes, kind: str) -> None:
        self._of_kind = hmac.new(key, f"admittance/{kind}/1|".encode(), "sha256")

    def mac(self, secret: str) -> bytes:
        """32 bytes.

        Raises:
            Malformed: not a secret that `new_secret` makes.
        """
        if _SECRET.fullmatch(secret) is None:
            raise Malformed("Not a secret of this server.")
        return self.mac_of_text(secret)

    def mac_of_text(self, text: str) -> bytes:
        """32 bytes, for a short secret that people read and type."""
        mac = self._of_kind.copy()
        mac.update(text.encode())
        return mac.digest()
