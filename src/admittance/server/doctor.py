"""Examines a server's surroundings and changes nothing."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from sqlalchemy.exc import SQLAlchemyError

from admittance.errors import AdmittanceError, ConfigurationError
from admittance.server.app import TLS_FOLDER
from admittance.server.config import Config
from admittance.server.enrolment.tpm.assembly import read_roots
from admittance.server.foundation import open_database
from admittance.server.keys.file import check_private
from admittance.server.keystore import COMPLETE_FILE, check_directory, open_keystore
from admittance.server.migrations.run import current_revision, newest_revision
from admittance.server.sms.providers import configured_provider

Grade = Literal["pass", "warn", "fail"]

EXPIRES_SOON = timedelta(days=14)
CONNECT_TIMEOUT_S = 5.0


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `detail` names the cause and, unless it passed, the next step."""

    check: str
    grade: Grade
    detail: str


async def examine(config: Config, now: float) -> list[Finding]:
    """Run every check."""
    checks: list[tuple[str, Callable[[Config, float], Awaitable[tuple[Grade, str]]]]] = [
        ("data folder", _data_folder),
        ("file modes", _file_modes),
        ("keys", _keys),
        ("database", _database),
        ("people certificate", _people_certificate),
        ("device certificate", _device_certificate),
        ("makers", _makers),
        ("TPM makers", _tpm_makers),
        ("mail", _mail),
        ("SMS", _sms),
    ]
    findings = []
    for name, check in checks:
        try:
            grade, detail = await check(config, now)
        except AdmittanceError as error:
            grade, detail = "fail", str(error)
        findings.append(Finding(name, grade, detail))
    return findings


def worst(findings: list[Finding]) -> Grade:
    grades = {finding.grade for finding in findings}
    return "fail" if "fail" in grades else "warn" if "warn" in grades else "pass"


async def _data_folder(config: Config, _now: float) -> tuple[Grade, str]:
    if not config.data_dir.exists():
        return "warn", f"{config.data_dir} does not exist; the first `admit serve` makes it"
    check_directory(config.data_dir)
    free = os.statvfs(config.data_dir)
    if free.f_bavail * free.f_frsize < 256 * 1024 * 1024:
        return "warn", f"{config.data_dir} has less than 256 MiB left"
    return "pass", str(config.data_dir)


async def _file_modes(config: Config, _now: float) -> tuple[Grade, str]:
    open_to_others = [
        str(path)
        for path in sorted(config.data_dir.rglob("*"))
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if open_to_others:
        return "fail", f"open to other users: {', '.join(open_to_others)}; run: chmod -R go= {config.data_dir}"
    return "pass", "only the server's user can open its files"


async def _keys(config: Config, now: float) -> tuple[Grade, str]:
    folder = config.data_dir / "keys"
    if not (folder / COMPLETE_FILE).exists():
        return "warn", "not made yet; the first `admit serve` makes them"
    given = config.keys.key_encryption_file
    keystore = open_keystore(folder, now=now, create=False, key_encryption_file=config.path(given) if given else None)
    if (folder / "configuration-root.key").exists():
        return "warn", f"all good; take {folder / 'configuration-root.key'} offline: the server does not need it"
    return _expiry(keystore.issuing_ca.certificate, now, "issuing CA")


async def _database(config: Config, _now: float) -> tuple[Grade, str]:
    database = open_database(config)
    if database.path is not None and not database.path.exists():
        return "warn", f"{database.path} does not exist; the first `admit serve` makes it"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S), database.read() as connection:
            revision = await connection.run_sync(current_revision)
    except TimeoutError:
        return "fail", f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
    except SQLAlchemyError as error:
        return "fail", f"does not let us in: {type(getattr(error, 'orig', error)).__name__}"
    finally:
        await database.close()
    newest = newest_revision()
    if revision != newest:
        return "warn", f"schema {revision or 'empty'}, newest is {newest}; the next `admit serve` migrates"
    return "pass", f"{database.engine.dialect.name}, schema {revision}"


async def _people_certificate(config: Config, now: float) -> tuple[Grade, str]:
    if config.tls.cert_file:
        check_private(config.path(config.tls.key_file))
        return _file_expiry(config.path(config.tls.cert_file), now)
    return _own_expiry(config.data_dir / TLS_FOLDER / "people.pem", now)


async def _device_certificate(config: Config, now: float) -> tuple[Grade, str]:
    return _own_expiry(config.data_dir / TLS_FOLDER / "device.pem", now)


async def _makers(config: Config, now: float) -> tuple[Grade, str]:
    for maker in config.makers.values():
        grade, detail = _file_expiry(config.path(maker.ca_file), now)
        if grade != "pass":
            return grade, detail
    if not config.models:
        return "warn", "no [models.NAME] is configured, so no device can be activated"
    return "pass", f"{len(config.models)} models, {len(config.makers)} makers"


async def _tpm_makers(config: Config, now: float) -> tuple[Grade, str]:
    roots = read_roots(config)
    if not roots:
        return "pass", "[tpm] ek_roots is empty: no device can prove its TPM"
    for root in roots:
        grade, detail = _expiry(root, now, root.subject.rfc4514_string() or "a CA without a name")
        if grade != "pass":
            return grade, f"[tpm] ek_roots: {detail}"
    return "pass", f"CAs that may vouch for TPMs: {len(roots)}"


async def _mail(config: Config, _now: float) -> tuple[Grade, str]:
    if not config.mail.smtp:
        return "warn", "[mail] smtp is empty: owners get no mail"
    if config.mail.password_file:
        check_private(config.path(config.mail.password_file))
    server = urlsplit(config.mail.smtp)
    return await _answers(server.hostname, server.port or (465 if server.scheme == "smtps" else 25))


async def _sms(config: Config, _now: float) -> tuple[Grade, str]:
    if configured_provider(config) is None:
        return "pass", "[sms] provider is none: no codes by SMS"
    gateway = urlsplit(config.sms.url)
    return await _answers(gateway.hostname, gateway.port or (443 if gateway.scheme == "https" else 80))


async def _answers(host: str | None, port: int) -> tuple[Grade, str]:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "fail", f"{host}:{port} does not answer within {CONNECT_TIMEOUT_S:.0f} s"
    except OSError as error:
        return "fail", f"{host}:{port}: {error.strerror or error}"
    writer.close()
    return "pass", f"{host}:{port} answers"


def _own_expiry(path: Path, now: float) -> tuple[Grade, str]:
    if not path.exists():
        return "warn", "not made yet; `admit serve` makes it"
    return _file_expiry(path, now)


def _file_expiry(path: Path, now: float) -> tuple[Grade, str]:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{path} is not a certificate in PEM") from None
    return _expiry(certificate, now, str(path))


def _expiry(certificate: x509.Certificate, now: float, name: str) -> tuple[Grade, str]:
    end = certificate.not_valid_after_utc
    left = end - datetime.fromtimestamp(now, UTC)
    if left <= timedelta():
        return "fail", f"{name} expired on {end:%Y-%m-%d}; renew it"
    if left < EXPIRES_SOON:
        return "warn", f"{name} expires on {end:%Y-%m-%d}; renew it"
    return "pass", f"{name} is good until {end:%Y-%m-%d}"
