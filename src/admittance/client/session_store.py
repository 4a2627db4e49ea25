"""What a client keeps between two commands: which server, which token, which keys, which devices."""

import asyncio
import fcntl
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from admittance.client.channel.app_keys import AppKeys
from admittance.client.channel.known_devices import KnownDevices
from admittance.client.dpop import DpopKey
from admittance.client.private_files import read_private, write_private
from admittance.errors import AuthenticationFailed, ConfigurationError, NotFound

SESSION_FILE = "session.json"
LOCK_FILE = "session.lock"
KEY_FILE = "dpop.key"


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login. `ca_pem` holds the only CAs that the server is checked against; None for those of the system.

    The access token ends at `expires_at`; the refresh token gets the next one, once.
    """

    v: int = 2
    origin: str
    ca_pem: str | None
    email: str
    account_id: str
    access_token: str
    refresh_token: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Session(origin={self.origin!r}, email={self.email!r}, expires_at={self.expires_at})"

    def trust(self) -> ssl.SSLContext:
        """The TLS context for connections to this server. Raises `ConfigurationError`."""
        return trust_context(self.ca_pem)


class SessionStore:
    """A profile: one folder with the session and the keys, in files of mode 0600, and the devices that it knows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def load(self) -> Session:
        """The session.

        Raises:
            AuthenticationFailed: nobody is logged in.
            ConfigurationError: the file is damaged, or others can open it.
        """
        path = self.directory / SESSION_FILE
        try:
            return msgspec.json.decode(read_private(path), type=Session)
        except NotFound:
            raise AuthenticationFailed("You are not logged in. Run: admit account login") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(f"{path} is damaged. Delete it and log in again.") from None

    def save(self, session: Session) -> None:
        """Keep a session in place of the one before. Raises `ConfigurationError`."""
        write_private(self.directory / SESSION_FILE, msgspec.json.encode(session))

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Hold off every other program of this profile that would use the refresh token up."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.directory / LOCK_FILE).open("ab") as file:
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
            yield

    def clear(self) -> None:
        """Forget session and key. What devices know this app by stays: they do not ask who is logged in."""
        for name in (SESSION_FILE, KEY_FILE, LOCK_FILE):
            (self.directory / name).unlink(missing_ok=True)

    def key(self) -> DpopKey:
        """The profile's key, made at first use. Raises `ConfigurationError`."""
        path = self.directory / KEY_FILE
        try:
            return DpopKey.load(path)
        except NotFound:
            key = DpopKey.generate()
            key.save(path)
            return key

    def app_keys(self) -> AppKeys:
        """The keys by which devices know this app, made at first use. Raises `ConfigurationError`."""
        return AppKeys.of_profile(self.directory)

    @property
    def devices(self) -> KnownDevices:
        """The devices that this app knows."""
        return KnownDevices(self.directory)


def default_directory() -> Path:
    """`$XDG_CONFIG_HOME/admittance`, else `~/.config/admittance`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "admittance"


def trust_context(ca_pem: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, checked against these CAs alone, or against the system's for None.

    Raises:
        ConfigurationError: not certificates in PEM.
    """
    if ca_pem is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigurationError("The CA file holds no certificate in PEM.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
