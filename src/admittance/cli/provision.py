"""`admit provision`: the phone."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from admittance.cli.output import emit, json_option
from admittance.cli.profile import app_name_option, default_app_name
from admittance.cli.provision_person import Answers, JsonPerson, TerminalPerson
from admittance.client import scan
from admittance.client.api import ApiClient
from admittance.client.channel.cards import AppCard
from admittance.client.device_link import HttpDoor
from admittance.client.network import PhoneNetwork, PromptedNetwork, SimulatedNetwork, transport
from admittance.client.provisioning import Provisioning
from admittance.client.provisioning_events import Person, Provisioned
from admittance.client.provisioning_server import ApiServer
from admittance.client.provisioning_state import StateFile
from admittance.client.session_store import SessionStore, default_directory

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
HTTPS_PORT = 443
BY_HAND_S = 300


@click.command()
@click.argument("code", required=False)
@click.option("--resume", is_flag=True, help="Go on with the provisioning that was interrupted.")
@click.option("--network", "ssid", help="Name of the network to join. Asked for when left out.")
@click.option(
    "--password-file",
    type=FILE,
    help="File with the network's password; after a wrong one the next line is tried. Asked for when left out.",
)
@click.option(
    "--code-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with an enrolment code, read when the device needs one. Asked for when left out.",
)
@click.option("--server-network", help="Use a network that the server stores; this phone never learns its password.")
@click.option("--premises", type=click.Path(path_type=Path), help="Socket of simulated premises, to be a phone in.")
@click.option("--profile", type=click.Path(file_okay=False, path_type=Path), help="Folder with your login.")
@app_name_option
@click.option("--yes", "assume_yes", is_flag=True, help="Set up the device without asking whether it is the one.")
@json_option
def provision(
    code: str | None,
    resume: bool,
    ssid: str | None,
    password_file: Path | None,
    code_file: Path | None,
    server_network: str | None,
    premises: Path | None,
    profile: Path | None,
    app_name: str | None,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Set up the device in front of you.

    CODE is a picture of the QR code on the device's display or label, or the text in it. The phone is never on the
    device's access point and on the internet at the same time: you are told when to change networks.

    \b
    Examples:
      admit provision photo-of-the-display.png
      admit provision https://home.example/d/ADQ3… --server-network Home
      admit provision photo.png --network Home --password-file wifi.txt --yes
      admit provision --resume
    """
    if resume == (code is not None):
        raise click.UsageError("Give either a CODE or --resume.")
    if server_network is not None and ssid is not None:
        raise click.UsageError("Give either --network or --server-network.")
    answers = Answers(ssid, password_file, code_file)
    person: Person = JsonPerson(answers) if as_json else TerminalPerson(answers, assume_yes=assume_yes)
    store = SessionStore(profile or default_directory())
    app = store.app_keys().card(app_name or default_app_name())
    done = asyncio.run(_provision(code, person, server_network, premises, store, app))
    if as_json:
        emit(
            {
                "event": "provisioned",
                "device_id": done.device_id,
                "model": done.model,
                "purpose": done.purpose,
                "attempts": done.attempts,
            },
            True,
        )
    else:
        click.echo(f"{done.model or 'The device'} is online and yours: {done.device_id}")


async def _provision(
    code: str | None,
    person: Person,
    server_network: str | None,
    premises: Path | None,
    store: SessionStore,
    app: AppCard,
) -> Provisioned:
    scanned = scan.read(code) if code is not None else None
    session = store.load()
    async with contextlib.AsyncExitStack() as stack:
        network = await stack.enter_async_context(_network(premises, session.origin))
        api = ApiClient.of_store(store, transport=transport(network, session.trust()))
        await stack.enter_async_context(api)
        door = HttpDoor(network, os.urandom)
        stack.push_async_callback(door.close)
        provisioning = Provisioning(
            network=network,
            server=ApiServer(api),
            door=door,
            person=person,
            state=StateFile(store.directory),
            app=app,
            devices=store.devices,
            random=os.urandom,
            server_network=server_network,
            patience_s=0 if premises is not None else BY_HAND_S,
        )
        if scanned is None:
            return await provisioning.resume(time.time())
        return await provisioning.run(scanned)


@contextlib.asynccontextmanager
async def _network(premises: Path | None, origin: str) -> AsyncIterator[PhoneNetwork]:
    if premises is None:
        parts = urlsplit(origin)
        yield PromptedNetwork(_ask, (parts.hostname or "", parts.port or HTTPS_PORT))
        return
    simulated = await SimulatedNetwork.attach(premises, f"phone-{os.getpid()}")
    try:
        yield simulated
    finally:
        await simulated.close()


async def _ask(text: str) -> None:
    await asyncio.to_thread(click.prompt, f"\n{text}", default="", show_default=False, prompt_suffix=" ")
