"""The command `admit`. Subcommands load when they are called, so a device never loads the server."""

import sys
from importlib import import_module
from typing import Any

import click

from admittance import __version__
from admittance.cli.exits import code_for
from admittance.cli.output import show_error
from admittance.errors import AdmittanceError

COMMANDS: dict[str, tuple[str, str]] = {
    "access": ("access:access", "Get keys of devices that you were let use."),
    "account": ("account:account", "Invite people, log in, look at accounts."),
    "audit": ("audit:audit", "Verify and export the audit log."),
    "clients": ("clients:clients", "Say which programs may ask for access: OAuth clients."),
    "config": ("config:config", "Check and show a server's configuration."),
    "credentials": ("credentials:credentials", "Say which apps a device lets in."),
    "demo": ("demo:demo", "See the product work, step by step."),
    "device": ("device:device", "Run and control a device's agent."),
    "devices": ("devices:devices", "Import, list, revoke and release devices."),
    "doctor": ("doctor:doctor", "Examine a server's surroundings; change nothing."),
    "grants": ("grants:grants", "Let guests do something on your devices."),
    "maker": ("maker:maker", "Make devices: identities, labels, manifests."),
    "premises": ("premises:premises", "Simulate premises: networks that devices and phones can join."),
    "provision": ("provision:provision", "Set up the device in front of you."),
    "readings": ("readings:readings", "Say what devices may send to the server; get what they sent."),
    "relay": ("relay:relay", "Run a further relay node."),
    "serve": ("serve:serve", "Run the server."),
    "talk": ("talk:talk", "Talk to a device, end to end."),
}


class LazyGroup(click.Group):
    """Knows names and one-line helps of its commands; imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(import_module(f"admittance.cli.{module}"), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in ("", "admittance"):
                raise
            raise click.ClickException(
                f"`admit {cmd_name}` needs the Python package {missing!r}, which is not installed. "
                "Install Admittance with the extra for it: server, device, client, maker or demo."
            ) from None
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AdmittanceError as error:
            show_error(error)
            sys.exit(code_for(error))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="admit")
def main() -> None:
    """Onboarding and access for headless IoT devices, self-hosted.

    \b
    Examples:
      admit serve --config admittance.toml
      admit provision photo-of-the-qr.png
      admit doctor --json

    Exit codes: 0 done, 1 failed unexpectedly, 2 wrong usage, 3 refused, 4 authentication failed,
    5 not found, 6 configuration, 7 unavailable, 8 network, 9 malformed input, 10 audit log broken.
    """


def run() -> None:
    """Entry point of the console script."""
    main(prog_name="admit")
