"""The page of an invitation link in Chromium: its script, under the page's own content security policy."""

import secrets

import pytest
from playwright.async_api import BrowserContext, Request, expect

from tests.browser.chromium import complaints
from tests.oauth_site import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def invite(server: Server, email: str) -> str:
    made = await server.stage.admit("guest", "account", "invite", email, "--config", server.stage.config)
    link: str = made.last["link"]
    return link


async def test_an_invitation_makes_an_account_and_its_secret_is_in_no_address(
    server: Server, with_scripts: BrowserContext
) -> None:
    page, requests = await with_scripts.new_page(), list[Request]()
    page.on("request", lambda request: requests.append(request))
    heard, password = complaints(page), secrets.token_urlsafe(12)
    link = await invite(server, "bob@example.org")
    await page.goto(link)
    await page.get_by_label("Email address").fill("bob@example.org")
    await page.get_by_label("Your name").fill("Bob <b>Baker</b>")
    await page.get_by_label("New password").fill(password)
    await page.get_by_label("The same password again").fill(f"{password}!")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("status")).to_have_text("The two passwords differ.")
    await page.get_by_label("The same password again").fill(password)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("status")).to_contain_text("Your account bob@example.org is ready.")
    secret = link.partition("#")[2]
    assert requests
    assert not [request.url for request in requests if secret in request.url.partition("#")[0]]
    assert "#" not in page.url
    assert heard == []


async def test_a_link_without_its_secret_says_so(server: Server, with_scripts: BrowserContext) -> None:
    page = await with_scripts.new_page()
    link = await invite(server, "cleo@example.org")
    await page.goto(link.partition("#")[0])
    await expect(page.get_by_role("status")).to_contain_text("This link is incomplete")
    await expect(page.get_by_role("button", name="Create account")).to_be_hidden()
