"""Files that only the person at this client can open, written whole or not at all."""

import os
import secrets
import stat
from pathlib import Path

from admittance.errors import ConfigurationError, NotFound


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place of an older one; make its folder (0700) where there is none.

    Raises:
        ConfigurationError: the file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def read_private(path: Path) -> bytes:
    """Read a file that nobody else may open.

    Raises:
        NotFound: there is none.
        ConfigurationError: others can open it, or it can't be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigurationError(f"{path} can be opened by others; run: chmod 600 {path}")
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
