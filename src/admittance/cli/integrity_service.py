"""`admit integrity serve`, `release`, `key` and `audit`: the service and what its operator says."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from admittance.cli.output import emit, json_option

if TYPE_CHECKING:
    from admittance.server.integrity.config import IntegrityConfig
    from admittance.server.integrity.foundation import IntegrityFoundation
    from admittance.server.integrity.model import Release

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def service_config_option(command: F) -> F:
    """Add ``--config`` to a command of the integrity service, as the argument `config_path`."""
    return click.option(
        "--config",
        "config_path",
        envvar="ADMITTANCE_INTEGRITY_CONFIG",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The service's TOML file; without one, the defaults. Also from ADMITTANCE_INTEGRITY_CONFIG.",
    )(command)


def client_id_option(command: F) -> F:
    return click.option("--client-id", required=True, help="The client that the app is registered as.")(command)


@click.command()
@service_config_option
@json_option
def serve(config_path: Path | None, as_json: bool) -> None:
    """Run the integrity service. It shares neither keys nor a database with the server. SIGTERM stops it.

    \b
    Examples:
      admit integrity serve
      admit integrity serve --config /etc/admittance-integrity.toml
    """
    import uvloop

    from admittance.server.integrity.config import load_config
    from admittance.server.logs import configure_logs

    config = load_config(config_path)
    configure_logs(config.log.format, config.log.level)
    uvloop.run(_serve(config, as_json))


async def _serve(config: "IntegrityConfig", as_json: bool) -> None:
    from admittance.server.integrity.app import CA_FILE, build

    def ready() -> None:
        ca_file = None if config.tls.cert_file else str(config.data_dir / CA_FILE)
        if as_json:
            emit({"event": "ready", "origin": config.service.origin, "ca_file": ca_file}, as_json=True)
            return
        click.echo(f"integrity: {config.service.origin} (listening on {config.service.listen})")
        if ca_file:
            click.echo(f"Apps and servers trust this service by {ca_file}")
        click.echo("Ready. Stop with Ctrl-C.")

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await build(config).run(stop, ready)


@click.group()
def release() -> None:
    """Say which versions of an app count as untampered. Run these on the service's host, as its user."""


@release.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@client_id_option
@click.option("--version", required=True, help="The app's version. A version is never changed afterwards.")
@service_config_option
@json_option
def add(folder: Path, client_id: str, version: str, config_path: Path | None, as_json: bool) -> None:
    """Measure the app in FOLDER, as it is shipped, and keep copies of its files.

    The same again changes nothing; a retired release becomes current again.

    \b
    Example:
      admit integrity release add --client-id door-app --version 1.4.2 ./dist
    """
    made = _with_service(
        config_path, lambda service: service.releases.add(client_id=client_id, version=version, folder=folder)
    )
    shown = _shown(made)
    emit(shown if as_json else f"{client_id} {version}: {len(made.files)} files, {made.total_bytes} bytes", as_json)


@release.command(name="list")
@service_config_option
@json_option
def list_releases(config_path: Path | None, as_json: bool) -> None:
    """List all releases, retired ones too.

    \b
    Example:
      admit integrity release list --json
    """
    found = [_shown(each) for each in _with_service(config_path, lambda service: service.releases.all())]
    if as_json:
        emit({"releases": found}, as_json=True)
        return
    for each in found:
        state = "current" if each["retired_at"] is None else "retired"
        click.echo(f"{each['client_id']} {each['version']}: {state}, {each['files']} files, {each['bytes']} bytes")


@release.command()
@client_id_option
@click.option("--version", required=True, help="The app's version.")
@service_config_option
@json_option
def retire(client_id: str, version: str, config_path: Path | None, as_json: bool) -> None:
    """Attest no app of a release any more. What was attested before ends by itself, within the hour.

    \b
    Example:
      admit integrity release retire --client-id door-app --version 1.4.1
    """
    _with_service(config_path, lambda service: service.releases.retire(client_id=client_id, version=version))
    shown = {"client_id": client_id, "version": version, "retired": True}
    emit(shown if as_json else f"{client_id} {version} is retired.", as_json)


@click.group()
def key() -> None:
    """The keys that sign attestations."""


@key.command()
@service_config_option
@json_option
def rotate(config_path: Path | None, as_json: bool) -> None:
    """Make the next signing key. It is published at once and signs a day later.

    \b
    Example:
      admit integrity key rotate
    """

    async def work(service: "IntegrityFoundation") -> dict[str, Any]:
        begins = service.keys.signing.roll(service.clock())
        async with service.database.transaction() as connection:
            await service.audit_log.append(
                connection,
                event="integrity_key_rolled",
                actor="operator",
                subject="integrity",
                details={"signs_from": begins},
                now=service.clock(),
            )
        return {"signs_from": begins}

    emit(_with_service(config_path, work), as_json)


@click.command()
@service_config_option
@json_option
def audit(config_path: Path | None, as_json: bool) -> None:
    """Verify the service's audit log and print it: one JSON object a line, with or without --json.

    \b
    Example:
      admit integrity audit --config integrity.toml
    """

    async def work(service: "IntegrityFoundation") -> None:
        await service.audit_service.verify()
        async for line in service.audit_service.export():
            click.echo(line.decode())

    _with_service(config_path, work)


def _with_service(config_path: Path | None, work: "Callable[[IntegrityFoundation], Awaitable[T]]") -> T:
    from admittance.server.integrity.config import load_config
    from admittance.server.integrity.foundation import open_foundation

    service = open_foundation(load_config(config_path))

    async def run() -> T:
        try:
            await service.migrate()
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(run())


def _shown(found: "Release") -> dict[str, Any]:
    return {
        "client_id": found.client_id,
        "version": found.version,
        "files": len(found.files),
        "bytes": found.total_bytes,
        "digest": found.digest.hex(),
        "added_at": found.added_at,
        "retired_at": found.retired_at,
    }
