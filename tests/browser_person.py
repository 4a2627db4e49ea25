"""A person at the authorization server's pages: reads forms as a browser does, and sends them filled in."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

STEPS = 10


@dataclass
class Form(HTMLParser):
    """The one form of a page: where it goes, and what its fields hold."""

    html: str
    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given["action"] or ""
        elif tag == "input":
            self.fields[given["name"] or ""] = given.get("value") or ""


@dataclass(frozen=True)
class Person:
    """Who logs in, in a browser with cookies of its own."""

    http: httpx.AsyncClient
    email: str
    password: str

    async def allow(self, url: str, *, decision: str = "allow", user_code: str = "") -> str:
        """Open `url`, log in, and decide; gives the address that the browser is sent to in the end, or the page."""
        answer = await self.http.get(url)
        for _ in range(STEPS):
            if answer.is_redirect:
                location = urljoin(str(answer.url), answer.headers["location"])
                if httpx.URL(location).netloc != answer.url.netloc:
                    return location
                answer = await self.http.get(location)
                continue
            form = Form(answer.text)
            if not form.action:
                return answer.text
            known = {"email": self.email, "password": self.password, "user_code": user_code}
            filled = {name: known.get(name) or value for name, value in form.fields.items()}
            filled |= {"decision": decision} if 'name="decision"' in answer.text else {}
            answer = await self.http.post(urljoin(str(answer.url), form.action), data=filled)
            assert answer.status_code < 500, answer.text
            refused = re.search(r'class="error"[^>]*>([^<]+)<', answer.text)
            assert refused is None, refused
        raise AssertionError(f"no end after {STEPS} pages")
