"""T31. Means: any address, client id, code or token to ask about. Goal: learn which accounts and clients exist."""

from admittance.client.oauth.pkce import Pkce
from tests.attack.oauth_site import Browser, app, register
from tests.attack.site import ON_SQLITE, Login, Site, new_key, seen
from tests.logins import challenge_form

pytestmark = ON_SQLITE
NOBODY = "nobody-at-all@example.org"
WRONG = "not the password of anybody"


async def test_the_login_of_our_app_tells_no_account(site: Site) -> None:
    victim, stranger = await site.account("victim"), Login(site.origin, site.people(), "", "", "", new_key())
    answers = []
    for email in (victim.email, NOBODY):
        form = challenge_form(email, WRONG, Pkce.generate())
        answers.append(seen(await stranger.post("/oauth/authorize-challenge", form)))
    assert answers[0] == answers[1]


async def test_the_login_page_tells_no_account(site: Site) -> None:
    victim, browser = await site.account("victim"), Browser(site)
    page = await browser.open(await app(site), Pkce.generate())
    known = await browser.sign_in(page, victim, WRONG)
    unknown = await browser.sign_in(page, Login(site.origin, site.attacker, "", NOBODY, "", new_key()), WRONG)
    assert seen(known) == seen(unknown)


async def test_the_token_endpoint_tells_no_client(site: Site) -> None:
    options = ("--authentication", "client_secret_basic", "--grant", "client_credentials", "--scope", "reports")
    known = await register(site, "Reports", *options)
    public = await app(site)
    answers = []
    for client_id in (known.client_id, public.client_id, "client-that-is-not-there"):
        form, auth = {"grant_type": "client_credentials"}, (client_id, "A" * 43)
        answers.append(seen(await site.attacker.post("/oauth/token", data=form, auth=auth)))
    assert answers[0] == answers[1] == answers[2]


async def test_introspection_and_revocation_tell_no_token(site: Site) -> None:
    """A client that may introspect learns nothing of a stranger's token, living or not."""
    options = ("--authentication", "client_secret_basic", "--grant", "client_credentials", "--scope", "reports")
    spy, victim = await register(site, "Spy", *options), await site.account("victim")
    for path in ("/oauth/introspect", "/oauth/revoke"):
        answers = []
        for token in (victim.token, victim.refresh_token, "A" * 69, victim.token[:-4] + "AAAA"):
            auth = (spy.client_id, spy.secret)
            answers.append(seen(await site.attacker.post(path, data={"token": token}, auth=auth)))
        assert len(set(answers)) == 1
    assert (await victim.send("GET", "/api/account")).status_code == 200
