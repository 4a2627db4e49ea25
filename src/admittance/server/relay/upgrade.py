"""The HTTP upgrade of both listeners: who may open which WebSocket at all (RFC 6455, section 4.2)."""

from collections.abc import Callable
from http import HTTPStatus

import structlog
from multidict import CIMultiDict
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from admittance.errors import AdmittanceError, AuthenticationFailed, Malformed, NotAllowed, NotFound, Unavailable
from admittance.server import problems
from admittance.server.relay.app_listener import AppConnection
from admittance.server.relay.authentication import PresentedToken
from admittance.server.relay.device_listener import DeviceConnection
from admittance.server.relay.node import RelayNode
from admittance.wire.device_id import check_device_id
from admittance.wire.relay import APP_PATH, DEVICE_PATH

MAX_TARGET_BYTES = 128

Factory = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener]

log = structlog.stdlib.get_logger(__name__)


def device_upgrades(node: RelayNode, certificate_sha256: Callable[[], bytes]) -> Factory:
    """For picows: a connection for each upgrade of the devices' path."""

    def make(request: WSUpgradeRequest) -> WSListener:
        _check(node, request)
        if request.path != DEVICE_PATH.encode():
            raise NotFound("There is nothing here.")
        return DeviceConnection(node, certificate_sha256())

    return _refusing(make)


def app_upgrades(node: RelayNode) -> Factory:
    """For picows: a connection for each upgrade of the path of a device, with a token or without."""

    def make(request: WSUpgradeRequest) -> WSListener:
        _check(node, request)
        path = _target(request)
        if not path.startswith(APP_PATH):
            raise NotFound("There is nothing here.")
        try:
            device_id = check_device_id(path.removeprefix(APP_PATH))
        except Malformed:
            raise NotFound("There is nothing here.") from None
        return AppConnection(node, device_id, _presented(node, request.headers, path))

    return _refusing(make)


def _check(node: RelayNode, request: WSUpgradeRequest) -> None:
    """What both paths ask of an upgrade. Raises `AdmittanceError`."""
    if node.is_draining:
        raise Unavailable("This relay node is stopping.")
    origins = request.headers.getall("origin", [])
    if origins and origins != [node.settings.origin]:
        raise NotAllowed("A page of another origin may not connect.")
    options = ",".join(request.headers.getall("connection", []))
    if "upgrade" in [option.strip().lower() for option in options.split(",")]:
        # picows takes the one word alone, browsers say more (RFC 6455, section 4.2.1, item 4).
        request.headers["connection"] = "upgrade"


def _target(request: WSUpgradeRequest) -> str:
    if len(request.path) > MAX_TARGET_BYTES or not request.path.isascii():
        raise NotFound("There is nothing here.")
    return request.path.decode("ascii")


def _presented(node: RelayNode, headers: "CIMultiDict[str]", path: str) -> PresentedToken | None:
    tokens, proofs = headers.getall("authorization", []), headers.getall("dpop", [])
    if not tokens and not proofs:
        return None
    if len(tokens) != 1 or len(proofs) != 1:
        raise AuthenticationFailed("The connection is not authenticated.")
    return node.app_proofs.present(tokens[0], proofs[0], path)


def _refusing(make: Callable[[WSUpgradeRequest], WSListener]) -> Factory:
    def answer(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        try:
            return make(request)
        except AdmittanceError as error:
            return _refusal(error)
        except Exception as error:
            log.error("relay_upgrade_failed", exc_info=error)
            return _refusal(Unavailable("The server's log tells more."))

    return answer


def _refusal(error: AdmittanceError) -> WSUpgradeResponseWithListener:
    """A problem document, as on the other listeners."""
    problem = problems.problem_for(error)
    document = problems.document(problem, code=error.code, detail=str(error), headers=problems.headers_for(error))
    headers = [(name, value) for name, value in document.headers.items() if name != "content-length"]
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        HTTPStatus(problem.status), bytes(document.body), headers
    )
    return WSUpgradeResponseWithListener(response, None)
