"""What a person does at the login page."""

from playwright.async_api import Page

from tests.oauth_site import Server


async def sign_in(page: Page, server: Server, password: str | None = None) -> None:
    """Fill the login page in as a person does, by the names of its fields."""
    await page.get_by_label("Email address").fill(server.email)
    await page.get_by_label("Password").fill(server.password if password is None else password)
    await page.get_by_role("button", name="Log in").click()
