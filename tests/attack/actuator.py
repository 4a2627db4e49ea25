"""What the attacked devices are there for: they note on disk each order that they carry out, and all that they say.

``/orders`` takes an order by POST, and shows the latest by GET and to who observes it; each answer has a number of
its own. ``/documents`` gives a document back, backwards.
"""

import json
from itertools import count

from admittance.device.applications import Application, Content, Host, Request
from admittance.errors import NotFound

NOTES = "notes"
REFUSAL = "the reason of the refusal"


class Actuator(Application):
    """`latest` is the last order."""

    def __init__(self) -> None:
        super().__init__("actuator")
        self.latest = ""
        self._numbers = count(1 << 16)

    def start(self, host: Host) -> None:
        super().start(host)
        self._notes = host.folder / NOTES

    def note(self, **what: object) -> None:
        with self._notes.open("a") as notes:
            notes.write(json.dumps(what) + "\n")

    def say(self, words: str) -> Content:
        number = next(self._numbers)
        self.note(said=[words, number])
        return Content.cbor([words, number])


app = Actuator()


@app.resource("/orders", methods=("GET", "POST"), observable=True, title="the owner's orders")
async def orders(request: Request) -> Content:
    if request.method == "POST":
        app.latest = request.text()
        app.note(order=app.latest)
        app.changed("/orders")
    return app.say(app.latest)


@app.resource("/documents", methods=("POST",))
async def documents(request: Request) -> Content:
    app.note(document=request.payload.hex())
    return Content(request.payload[::-1])


@app.resource("/refusals")
async def refusals(_request: Request) -> Content:
    raise NotFound(REFUSAL)
