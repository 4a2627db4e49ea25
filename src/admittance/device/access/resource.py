"""``/server/access``: the server pushes what access was granted by POST, and reads the device's state by GET.
``/epoch-list``: anybody may bring a signed epoch list by POST."""

from admittance.device.access.enforcement import Enforcement
from admittance.device.access.offline import OfflineTokens
from admittance.device.applications import Content, Request
from admittance.device.applications.application import Resource
from admittance.wire import message
from admittance.wire.access import MAX_PUSH_BYTES, PUSH_PATH, AccessPush
from admittance.wire.coap import formats
from admittance.wire.offline import EPOCH_LIST_PATH


def access_resource(enforcement: Enforcement) -> Resource:
    """The resource of the device with this enforcement."""

    async def answer(request: Request) -> Content:
        if request.method == "POST":
            enforcement.take(message.decode(request.payload, AccessPush, MAX_PUSH_BYTES))
        return Content(message.encode(enforcement.state), formats.CBOR)

    return Resource(PUSH_PATH, answer, frozenset({"GET", "POST"}), observable=False, title="")


def epoch_list_resource(offline: OfflineTokens) -> Resource:
    """The resource of the device with these offline tokens."""

    async def answer(request: Request) -> Content:
        offline.take_list(request.payload)
        return Content()

    return Resource(EPOCH_LIST_PATH, answer, frozenset({"POST"}), observable=False, title="")
