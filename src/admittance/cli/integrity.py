"""`admit integrity`."""

import asyncio
from pathlib import Path

import click

import admittance
from admittance.cli.account import check_origin
from admittance.cli.integrity_service import audit, key, release, serve
from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, read_ca_file
from admittance.client.integrity.attestation import Attestations, AttestedApp, KeptAttestation
from admittance.client.session_store import SessionStore
from admittance.errors import Malformed


@click.group()
def integrity() -> None:
    """Tell untampered apps from others, by a service of its own."""


for command in (serve, release, key, audit):
    integrity.add_command(command)


@integrity.command()
@click.option("--service", help="The integrity service: https://host[:port]. Left out: where the last one came from.")
@click.option("--client-id", help="The client that this app is registered as.")
@click.option("--app-version", help="The app's version; else that of this program.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The app's files; else those of this program.",
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Trust only these CAs.")
@profile_option
@json_option
def attest(
    service: str | None,
    client_id: str | None,
    app_version: str | None,
    folder: Path | None,
    ca_file: Path | None,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Prove that this app is the untampered one, and keep the attestation in the profile.

    Without --service an attestation that still has a third of its life is kept, and another renewed as before.

    \b
    Examples:
      admit integrity attest --service https://integrity.example --client-id admit-cli
      admit integrity attest --json
    """
    attestations = Attestations(store.directory, store.key())
    own_folder = None if folder is None else str(folder.absolute())

    async def attested() -> KeptAttestation:
        if service is None:
            return await attestations.fresh()
        if client_id is None:
            raise Malformed("Name the client that this app is registered as: --client-id")
        return await attestations.attest(
            AttestedApp(
                service=check_origin(service),
                ca_pem=read_ca_file(ca_file),
                client_id=client_id,
                version=app_version or admittance.__version__,
                folder=own_folder,
            )
        )

    async def work() -> KeptAttestation:
        kept = await attested()
        await store.outdate()
        return kept

    kept = asyncio.run(work())
    shown = {
        "client_id": kept.app.client_id,
        "version": kept.app.version,
        "service": kept.app.service,
        "jkt": kept.jkt,
        "expires_at": kept.expires_at,
    }
    if as_json:
        emit({**shown, "attestation": kept.attestation}, as_json=True)
    else:
        emit(shown, as_json=False)
