"""`admit account totp`, `phone`, `factors` and `trust`."""

import io

import click
import segno

from admittance.cli.output import emit, json_option
from admittance.cli.profile import profile_option, with_client
from admittance.client.api_factors import FactorsApi
from admittance.client.session_store import SessionStore

KINDS = click.Choice(["code", "totp", "sms", "approval"])


@click.command()
@click.option("--require", "kinds", type=KINDS, multiple=True, help="Ask for one of these at every enrolment.")
@click.option("--none", "nothing", is_flag=True, help="Ask only where a device's model does.")
@profile_option
@json_option
def factors(kinds: tuple[str, ...], nothing: bool, store: SessionStore, as_json: bool) -> None:
    """Show the account's second factors, or ask for one at every enrolment.

    An account can ask for more than a model does, never for less.

    \b
    Examples:
      admit account factors
      admit account factors --require totp --require code
    """
    if kinds and nothing:
        raise click.UsageError("Give either --require or --none.")
    if kinds or nothing:
        emit(with_client(store, lambda client: FactorsApi(client).require(kinds)), as_json)
    else:
        emit(with_client(store, lambda client: FactorsApi(client).show()), as_json)


@click.group()
def totp() -> None:
    """Set up an authenticator app as second factor."""


@totp.command("enrol")
@profile_option
@json_option
def totp_enrol(store: SessionStore, as_json: bool) -> None:
    """Make a seed and show it as QR code; it counts once a code of it was confirmed.

    \b
    Example:
      admit account totp enrol
    """
    made = with_client(store, lambda client: FactorsApi(client).begin_totp())
    if as_json:
        emit({"uri": made.uri}, as_json)
        return
    drawn = io.StringIO()
    segno.make(made.uri, error="m").terminal(drawn, compact=True)
    click.echo(f"{drawn.getvalue()}\n{made.uri}\n\nScan it with your authenticator app, then confirm its code:")
    _confirm_totp(store, click.prompt("Code"), as_json)


@totp.command("confirm")
@click.option("--code-file", type=click.File("r"), help="Read the code from a file; else it is asked for.")
@profile_option
@json_option
def totp_confirm(code_file: io.TextIOBase | None, store: SessionStore, as_json: bool) -> None:
    """Confirm the fresh seed by the code that the app shows."""
    _confirm_totp(store, _code(code_file), as_json)


@totp.command("remove")
@profile_option
@json_option
def totp_remove(store: SessionStore, as_json: bool) -> None:
    """Forget the seed."""
    with_client(store, lambda client: FactorsApi(client).remove_totp())
    emit({"totp": False} if as_json else "The authenticator app counts no more.", as_json)


@click.group()
def phone() -> None:
    """Set the phone number for codes by SMS.

    SMS is a restricted authenticator (NIST SP 800-63B): an authenticator app or enrolment codes are better.
    """


@phone.command("set")
@click.argument("number")
@profile_option
@json_option
def phone_set(number: str, store: SessionStore, as_json: bool) -> None:
    """Send a code to NUMBER, which counts once that code was confirmed.

    \b
    Examples:
      admit account phone set "+49 170 1234567"
    """
    with_client(store, lambda client: FactorsApi(client).set_phone(number))
    if as_json:
        emit({"sent": True}, as_json)
        return
    click.echo("A code was sent.")
    _confirm_phone(store, click.prompt("Code"), as_json)


@phone.command("confirm")
@click.option("--code-file", type=click.File("r"), help="Read the code from a file; else it is asked for.")
@profile_option
@json_option
def phone_confirm(code_file: io.TextIOBase | None, store: SessionStore, as_json: bool) -> None:
    """Confirm the number by the code that was sent to it."""
    _confirm_phone(store, _code(code_file), as_json)


@phone.command("remove")
@profile_option
@json_option
def phone_remove(store: SessionStore, as_json: bool) -> None:
    """Forget the number."""
    with_client(store, lambda client: FactorsApi(client).remove_phone())
    emit({"phone": None} if as_json else "The phone number is forgotten.", as_json)


@click.command()
@click.option("--by", "kind", type=click.Choice(["code", "totp", "sms"]), default="code", show_default=True)
@click.option("--code-file", type=click.File("r"), help="Read the code from a file; else it is asked for.")
@profile_option
@json_option
def trust(kind: str, code_file: io.TextIOBase | None, store: SessionStore, as_json: bool) -> None:
    """Confirm this login by a second factor, so that it may make codes, approve devices and change factors.

    The first login of an account is trusted; later ones know no more than the password until they are confirmed.

    \b
    Examples:
      admit account trust --by totp
      admit account trust --by sms
    """
    if kind == "sms" and code_file is None:
        with_client(store, lambda client: FactorsApi(client).trust("sms", ""))
    value = _code(code_file)
    with_client(store, lambda client: FactorsApi(client).trust(kind, value))
    emit({"trusted": True} if as_json else "This login is trusted now.", as_json)


def _confirm_totp(store: SessionStore, code: str, as_json: bool) -> None:
    with_client(store, lambda client: FactorsApi(client).confirm_totp(code.strip()))
    emit({"totp": True} if as_json else "The authenticator app counts from now on.", as_json)


def _confirm_phone(store: SessionStore, code: str, as_json: bool) -> None:
    with_client(store, lambda client: FactorsApi(client).confirm_phone(code.strip()))
    emit({"phone": True} if as_json else "The phone number counts from now on.", as_json)


def _code(file: io.TextIOBase | None) -> str:
    return file.readline().strip() if file is not None else str(click.prompt("Code")).strip()
