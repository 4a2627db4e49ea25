"""`admit account login --browser`: the command waits, Chromium logs in, and the command has the login."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from admittance.demo.processes import ADMIT
from tests.browser.sign_in import sign_in
from tests.oauth_site import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begin(server: Server, profile: Path) -> asyncio.subprocess.Process:
    """The command, on a machine whose own browser shows nothing."""
    where = ("--server", server.stage.origin, "--ca-file", str(server.stage.people_ca), "--profile", str(profile))
    return await asyncio.create_subprocess_exec(
        *(*ADMIT, "account", "login", "--browser", "--json", *where),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BROWSER": "true"},
    )


async def shown(command: asyncio.subprocess.Process) -> dict[str, str]:
    assert command.stdout is not None
    told: dict[str, str] = json.loads(await command.stdout.readline())
    return told


async def test_who_allows_is_logged_in(server: Server, page: Page, tmp_path: Path) -> None:
    command = await begin(server, tmp_path / "profile")
    await page.goto((await shown(command))["authorization_url"])
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Allow Admittance?")).to_be_visible()
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_role("heading", name="Back to the program")).to_be_visible()
    assert (await shown(command))["email"] == server.email
    assert await command.wait() == 0
    mine = await asyncio.create_subprocess_exec(
        *(*ADMIT, "account", "show", "--json", "--profile", str(tmp_path / "profile")),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await mine.communicate()
    assert json.loads(output)["email"] == server.email


async def test_who_denies_is_not(server: Server, page: Page, tmp_path: Path) -> None:
    command = await begin(server, tmp_path / "profile")
    await page.goto((await shown(command))["authorization_url"])
    await sign_in(page, server)
    await page.get_by_role("button", name="Deny").click()
    assert (await shown(command))["error"] == "authentication_failed"
    assert await command.wait() != 0
