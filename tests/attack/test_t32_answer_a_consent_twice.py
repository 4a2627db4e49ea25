"""T32, where databases differ. Means: the consent page that the victim opened, in the victim's browser.

Goal: more codes than the one that the victim gave, each for a login of its own.
"""

import asyncio

from admittance.client.oauth.pkce import Pkce
from tests.attack.oauth_site import Browser, app
from tests.attack.site import Site


async def test_a_consent_sent_twelve_times_at_once_gives_one_code(site: Site) -> None:
    browser, victim, client = Browser(site), await site.somebody("victim"), await app(site)
    page = await browser.sign_in(await browser.open(client, Pkce.generate()), victim)
    answers = await asyncio.gather(*(browser.allow(page) for _ in range(12)))
    assert len([answer for answer in answers if "code=" in answer.headers.get("location", "")]) == 1
