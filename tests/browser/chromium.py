"""Debian's Chromium without a window, which trusts one certificate authority, by Playwright."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import BrowserContext, ConsoleMessage, Page, async_playwright

_STATUS_OF_AN_ANSWER = "Failed to load resource: the server responded"
_PROGRAM = "/usr/bin/chromium"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium(folder: Path, ca_file: Path, *, scripts: bool) -> AsyncIterator[BrowserContext]:
    """A browser with a profile of its own in `folder`; without `scripts` it runs no JavaScript."""
    _trust(folder, ca_file)
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=_PROGRAM,
            chromium_sandbox=False,
            args=_ARGUMENTS,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            java_script_enabled=scripts,
        )
        try:
            yield context
        finally:
            await context.close()


def complaints(page: Page) -> list[str]:
    """What the browser says of `page` from now on: what its content security policy blocked, and other errors.

    Not that an answer was a refusal, which the page itself says.
    """
    heard: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_STATUS_OF_AN_ANSWER):
            heard.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def _trust(folder: Path, ca_file: Path) -> None:
    """Put the authority into the store that Chromium reads, in the home folder of its user."""
    store = folder / ".pki" / "nssdb"
    store.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "site", "-i", ca_file], check=True)
