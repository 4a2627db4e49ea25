"""Another site that frames our pages (RFC 9700, section 4.16), or sends their forms itself."""

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.app import App
from tests.browser.callback import callback
from tests.browser.sign_in import sign_in
from tests.oauth_site import REDIRECT_URI, Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_no_other_site_frames_the_login_page(server: Server, with_scripts: BrowserContext) -> None:
    url = App(server, REDIRECT_URI).authorization_url.replace("&", "&amp;")
    async with callback(f'<h1>A prize</h1><iframe src="{url}"></iframe>') as elsewhere:
        page = await with_scripts.new_page()
        async with page.expect_console_message(lambda message: "frame" in message.text.lower()) as blocked:
            await page.goto(elsewhere.url)
        assert "frame-ancestors" in (await blocked.value).text
        await expect(page.frame_locator("iframe").locator("form")).to_have_count(0)


async def test_no_other_site_answers_in_the_name_of_who_is_logged_in(
    server: Server, with_scripts: BrowserContext
) -> None:
    page = await with_scripts.new_page()
    async with callback() as back:
        await page.goto(App(server, back.url).authorization_url)
        await sign_in(page, server)
        flow = await page.locator('input[name="flow"]').input_value()
        csrf = await page.locator('input[name="csrf"]').input_value()
        form = (
            f'<form method="post" action="{server.stage.origin}/oauth/consent">'
            f'<input name="flow" value="{flow}"><input name="csrf" value="{csrf}">'
            '<button name="decision" value="allow">Win</button></form>'
        )
        async with callback(form) as elsewhere:
            await page.goto(elsewhere.url)
            async with page.expect_response("**/oauth/consent") as answered:
                await page.get_by_role("button", name="Win").click()
        assert (await answered.value).status >= 400
        assert back.answers == []
