"""`admit account`."""

import asyncio
import threading
import time
import webbrowser
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import click

from admittance.cli.account_factors import factors, phone, totp, trust
from admittance.cli.account_networks import networks
from admittance.cli.output import config_option, emit, json_option
from admittance.cli.profile import profile_option, read_ca_file, with_client
from admittance.cli.secret_input import read_password
from admittance.client.api import ApiClient
from admittance.client.dpop import DpopKey
from admittance.client.integrity.attestation import Attestations
from admittance.client.oauth.device_grant import DeviceAuthorization
from admittance.client.session_store import Session, SessionStore, trust_context
from admittance.errors import AuthenticationFailed, Malformed, NetworkFailure


@click.group()
def account() -> None:
    """Invite people, accept an invitation, log in and out, keep premises networks."""


for command in (networks, factors, phone, totp, trust):
    account.add_command(command)


@account.command()
@click.argument("email")
@click.option("--operator", is_flag=True, help="The account may run this server.")
@click.option("--quota", type=click.IntRange(min=0), help="Devices it may own; without it, the server's default.")
@config_option
@json_option
def invite(email: str, operator: bool, quota: int | None, config_path: Path | None, as_json: bool) -> None:
    """Make a link that invites EMAIL. Run this on the server's host, as the server's user.

    Whoever has the link can make the account, once, within the days that the server's policy allows: hand it over
    on a way that only the invited person reads.

    \b
    Examples:
      admit account invite anna@example.org --config admittance.toml
      admit account invite boss@example.org --operator --json
    """
    from admittance.server.access import assembly as access
    from admittance.server.accounts import service
    from admittance.server.config import load_config
    from admittance.server.foundation import open_foundation

    foundation = open_foundation(load_config(config_path))
    config = foundation.config

    async def work() -> None:
        try:
            await foundation.database.migrate()
            accounts = service.build(
                database=foundation.database,
                clock=foundation.clock,
                audit=foundation.audit_log,
                envelope=foundation.envelope,
                origin=config.server.origin,
                code_key=foundation.keystore.code_key,
                dpop_nonce_key=foundation.keystore.dpop_nonce_key,
                default_quota=config.policy.quota,
                sessions=access.login_services(access.ground_of(foundation)).sessions,
                invite_ttl_s=config.policy.invite_ttl_s,
            )
            made = await accounts.invites.create(email=email, operator=operator, quota=quota, actor="operator")
        finally:
            await foundation.close()
        link = made.link(config.server.origin)
        emit({"link": link, "expires_at": made.expires_at} if as_json else link, as_json)

    asyncio.run(work())


@account.command()
@click.argument("link", required=False)
@click.option("--link-file", type=click.File("r"), help="Read the link from a file, or from - for standard input.")
@click.option("--email", prompt="Email address", help="The address that was invited.")
@click.option("--name", prompt="Your name", help="How others see you.")
@click.option("--password-file", type=click.File("r"), help="Read the password from a file; else it is asked for.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Trust only these CAs.")
@json_option
def accept(
    link: str | None,
    link_file: TextIO | None,
    email: str,
    name: str,
    password_file: TextIO | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Accept an invitation: make the account of LINK and set its password.

    The link is a secret until it is accepted, and other users of this machine can see a command's arguments; leave
    LINK out to be asked for it. Repeating an acceptance whose answer was lost is safe.

    \b
    Examples:
      admit account accept
      admit account accept --link-file link.txt --email anna@example.org --name Anna --password-file password.txt
    """
    text = link_file.read().strip() if link_file else link or click.prompt("Invitation link", hide_input=True)
    origin, secret = parse_invite_link(text)
    password = read_password(password_file, "New password", confirm=True)
    trust = trust_context(read_ca_file(ca_file))

    async def work() -> None:
        async with ApiClient(origin, key=DpopKey.generate(), trust=trust) as client:
            made = await client.accept_invite(secret, email=email, password=password, display_name=name)
        shown = {"account_id": made.account_id, "email": made.email, "origin": origin}
        emit(shown if as_json else f"The account {made.email} is ready. Log in: admit account login", as_json)

    asyncio.run(work())


@account.command()
@click.argument("email", required=False)
@click.option("--browser", "in_browser", is_flag=True, help="Log in in a browser on this machine.")
@click.option("--device", "by_device", is_flag=True, help="Show a code to enter in a browser, on any machine.")
@click.option("--server", "origin", required=True, help="The server: https://host or https://host:port.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Trust only these CAs.")
@click.option("--password-file", type=click.File("r"), help="Read the password from a file; else it is asked for.")
@profile_option
@json_option
def login(
    email: str | None,
    in_browser: bool,
    by_device: bool,
    origin: str,
    ca_file: Path | None,
    password_file: TextIO | None,
    store: SessionStore,
    as_json: bool,
) -> None:
    """Log in as EMAIL, in a browser, or by a code. A login by code sets up no devices and lets nobody in.

    The tokens that are kept are of no use without this profile's key.

    \b
    Examples:
      admit account login anna@example.org --server https://admittance.example
      admit account login --browser --server https://admittance.example
      admit account login --device --server https://admittance.example
      admit account login anna@example.org --server https://localhost:8443 --ca-file people-ca.pem \\
        --password-file password.txt --profile ./phone
    """
    origin = check_origin(origin)
    ca_pem = read_ca_file(ca_file)
    trust = trust_context(ca_pem)
    if (email is not None) + in_browser + by_device != 1:
        raise click.UsageError("Give your EMAIL, or --browser to log in there, or --device to log in by a code.")
    password = None if email is None else read_password(password_file, "Password")
    key = store.key()

    def show_code(begun: DeviceAuthorization) -> None:
        text = f"Open {begun.verification_uri} and enter {begun.user_code}"
        shown = {"verification_uri": begun.verification_uri, "user_code": begun.user_code}
        emit(shown if as_json else text, as_json)

    def open_page(url: str) -> None:
        text = f"Log in in the browser on this machine. If none has opened, open {url}"
        emit({"authorization_url": url} if as_json else text, as_json)
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    async def work() -> None:
        attested = Attestations(store.directory, key).headers
        async with ApiClient(origin, key=key, trust=trust, attested=attested) as client:
            if email is not None and password is not None:
                tokens = await client.login(email, password)
            elif in_browser:
                tokens = await client.login_in_browser(open_page)
            else:
                tokens = await client.login_by_device(show_code)
            mine = await client.account()
        expires_at = int(time.time()) + tokens.expires_in
        store.save(
            Session(
                origin=origin,
                ca_pem=ca_pem,
                email=mine.email,
                account_id=mine.account_id,
                access_token=tokens.access_token,
                refresh_token=tokens.refresh_token,
                expires_at=expires_at,
            )
        )
        shown = {"account_id": mine.account_id, "email": mine.email, "expires_at": expires_at}
        emit(shown if as_json else f"Logged in as {mine.email}.", as_json)

    asyncio.run(work())


@account.command()
@profile_option
@json_option
def logout(store: SessionStore, as_json: bool) -> None:
    """End the login at the server, and forget it here.

    \b
    Example:
      admit account logout
    """
    ended = True
    try:
        with_client(store, lambda client: client.logout())
    except (AuthenticationFailed, NetworkFailure):
        ended = False
    store.clear()
    at_server = "" if ended else " The server was not told, or had ended the login already."
    emit({"ended_at_server": ended} if as_json else f"Logged out.{at_server}", as_json)


@account.command()
@profile_option
@json_option
def show(store: SessionStore, as_json: bool) -> None:
    """Show who is logged in, and how many devices the account owns.

    \b
    Example:
      admit account show --json
    """
    emit(with_client(store, lambda client: client.account()), as_json)


def parse_invite_link(link: str) -> tuple[str, str]:
    """Origin and secret of an invite's link. Raises `Malformed`."""
    origin, separator, secret = link.strip().partition("/invite#")
    if not separator or not secret:
        raise Malformed("An invitation looks like https://<server>/invite#<secret>. Copy the whole link.")
    return check_origin(origin), secret


def check_origin(origin: str) -> str:
    """An origin without a path. Raises `Malformed`."""
    parts = urlsplit(origin.rstrip("/"))
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise Malformed("A server looks like https://host or https://host:port.")
    return origin.rstrip("/")
