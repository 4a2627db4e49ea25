"""Secrets that commands read: from a file or a prompt, never from an argument."""

from typing import TextIO

import click

from admittance.errors import Malformed


def read_password(file: TextIO | None, prompt: str, *, confirm: bool = False) -> str:
    """A password from the first line of a file, or asked for without showing it. Raises `Malformed` when empty."""
    if file is not None:
        password = file.readline().rstrip("\r\n")
    else:
        password = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm)
    if not password:
        raise Malformed("The password is empty.")
    return password
