"""The page where a person answers a device's code (RFC 8628) in Chromium, with JavaScript switched off."""

import pytest
from playwright.async_api import Page, expect

from admittance.errors import AccessDenied
from tests.browser.app import DEVICE_CODE, App
from tests.browser.sign_in import sign_in
from tests.oauth_site import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_code_that_was_typed_and_allowed_gives_the_device_its_tokens(server: Server, page: Page) -> None:
    device = App(server)
    begun = (await device.ask("/oauth/device_authorization", {"scope": "devices"})).json()
    await page.goto(begun["verification_uri"])
    await expect(page.get_by_text("Log in to connect a device.")).to_be_visible()
    await sign_in(page, server)
    await page.get_by_label("Code").fill("BBBB-BBBB")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("status")).to_contain_text("No device shows this code.")
    await page.get_by_label("Code").fill(begun["user_code"].lower().replace("-", " "))
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_text("If somebody sent you the code, deny")).to_be_visible()
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_role("heading", name="Connected")).to_be_visible()
    tokens = await device.ask("/oauth/token", {"grant_type": DEVICE_CODE, "device_code": begun["device_code"]})
    assert tokens.status_code == 200, tokens.text


async def test_a_code_in_the_link_still_waits_for_the_person(server: Server, page: Page) -> None:
    device = App(server)
    begun = (await device.ask("/oauth/device_authorization", {"scope": "devices"})).json()
    await page.goto(begun["verification_uri_complete"])
    await sign_in(page, server)
    await expect(page.get_by_label("Code")).to_have_value(begun["user_code"])
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("heading", name="Denied")).to_be_visible()
    with pytest.raises(AccessDenied) as refused:
        await device.ask("/oauth/token", {"grant_type": DEVICE_CODE, "device_code": begun["device_code"]})
    assert refused.value.code == "access_denied"
