"""A notice board, as somebody who writes a device's application would: one resource, which its owners and guests see
change."""

from admittance.device.applications import Application, Content, Request

app = Application("noticeboard")
notices = [""]


@app.resource("/notice", methods=("GET", "PUT"), observable=True, title="notice board")
async def notice(request: Request) -> Content:
    """What is pinned to the board."""
    if request.method == "PUT":
        notices.append(request.text())
        app.changed("/notice")
    return Content.text(notices[-1])
