"""`admit config`."""

from pathlib import Path

import click
import msgspec

from admittance.cli.output import config_option, emit, json_option
from admittance.server.config import load_config


@click.group()
def config() -> None:
    """Check and show a server's configuration."""


@config.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Read the configuration and say what is wrong with it, if anything.

    \b
    Example:
      admit config check --config admittance.toml
    """
    load_config(config_path)
    source = str(config_path) if config_path else "the defaults"
    emit({"ok": True, "source": source} if as_json else f"{source}: good", as_json)


@config.command()
@config_option
@json_option
def show(config_path: Path | None, as_json: bool) -> None:
    """Print every setting with its value, defaults included. Secrets are in files and are not shown.

    \b
    Example:
      admit config show --json
    """
    loaded = load_config(config_path)
    values = msgspec.to_builtins(loaded, enc_hook=str)
    values.pop("folder")
    values["server"]["data_dir"] = str(loaded.data_dir)
    values["server"]["first_contact_url"] = loaded.first_contact_url
    values["server"]["device_url"] = loaded.device_url
    values["database"]["url"] = loaded.database_url
    if as_json:
        emit(values, as_json=True)
        return
    click.echo("\n".join(_toml(values)))


def _toml(table: dict[str, object], name: str = "") -> list[str]:
    lines: list[str] = []
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if plain:
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in plain.items()), ""]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml(value, f"{name}.{key}" if name else key)
    return lines


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode()
