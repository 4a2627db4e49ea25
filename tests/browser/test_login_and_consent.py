"""The pages of the authorization code grant (RFC 6749, section 4.1) in Chromium, with JavaScript switched off."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.app import App
from tests.browser.callback import Callback, callback
from tests.browser.sign_in import sign_in
from tests.oauth_site import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def back() -> AsyncIterator[Callback]:
    async with callback() as opened:
        yield opened


async def test_who_allows_comes_back_to_the_app_with_a_code_for_its_key(
    server: Server, page: Page, back: Callback
) -> None:
    app = App(server, back.url)
    await page.goto(app.authorization_url)
    await expect(page.get_by_text("Log in to go on to Garden.")).to_be_visible()
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Allow Garden?")).to_be_visible()
    await expect(page.get_by_text(server.email)).to_be_visible()
    await expect(page.get_by_role("listitem")).to_have_count(2)
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    (answer,) = back.answers
    assert (answer["state"], answer["iss"]) == (app.state, server.stage.origin)
    tokens = await app.redeem(answer["code"])
    assert tokens.status_code == 200, tokens.text
    assert tokens.json()["token_type"] == "DPoP"


async def test_who_denies_comes_back_without_a_code(server: Server, page: Page, back: Callback) -> None:
    await page.goto(App(server, back.url).authorization_url)
    await sign_in(page, server)
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    (answer,) = back.answers
    assert answer["error"] == "access_denied"
    assert "code" not in answer


async def test_a_wrong_password_is_said_on_the_page_and_the_right_one_goes_on_from_there(
    server: Server, page: Page, back: Callback
) -> None:
    await page.goto(App(server, back.url).authorization_url)
    await sign_in(page, server, "not the password at all")
    await expect(page.get_by_role("status")).to_have_text("The address or the password is wrong.")
    await sign_in(page, server)
    await expect(page.get_by_role("heading", name="Allow Garden?")).to_be_visible()


async def test_an_answer_is_given_once_also_by_going_back(server: Server, page: Page, back: Callback) -> None:
    await page.goto(App(server, back.url).authorization_url)
    await sign_in(page, server)
    consent = page.url
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    await page.goto(consent)
    await expect(page.get_by_role("button")).to_have_count(0)
    assert len(back.answers) == 1


async def test_the_page_of_another_browser_does_not_go_on(server: Server, page: Page, back: Callback) -> None:
    await page.goto(App(server, back.url).authorization_url)
    login_page = page.url
    await page.context.clear_cookies()
    await page.goto(login_page)
    await expect(page.get_by_role("button")).to_have_count(0)
