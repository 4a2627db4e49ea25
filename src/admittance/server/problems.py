"""One table from error classes to problem documents (RFC 9457), internals stripped."""

from dataclasses import dataclass
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from admittance import errors
from admittance.server.http import Uncached, encode_json

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    status: int
    title: str


TABLE: dict[type[errors.AdmittanceError], Problem] = {
    errors.Malformed: Problem(400, "The request could not be read"),
    errors.Unavailable: Problem(503, "Temporarily unavailable"),
    errors.Refused: Problem(403, "Refused"),
    errors.AuthenticationFailed: Problem(401, "Authentication failed"),
    errors.NonceRequired: Problem(401, "A fresh nonce is required"),
    errors.NotAllowed: Problem(403, "Not allowed"),
    errors.IntegrityRefused: Problem(403, "The app could not be attested"),
    errors.ScopeMissing: Problem(403, "Another scope is needed"),
    errors.IntegrityRequired: Problem(403, "An attested app is needed"),
    errors.OAuthRefused: Problem(400, "Refused"),
    errors.AttestationChallengeRequired: Problem(400, "A fresh challenge is required"),
    errors.ClientAttestationRefused: Problem(400, "The app is not attested"),
    errors.FactorRequired: Problem(403, "A second factor is needed"),
    errors.ApprovalPending: Problem(403, "Waiting for the owner"),
    errors.NotFound: Problem(404, "Not found"),
    errors.AlreadyUsed: Problem(409, "Already used"),
    errors.Expired: Problem(410, "Expired"),
    errors.Throttled: Problem(429, "Too many tries"),
    errors.QuotaExceeded: Problem(403, "Quota exceeded"),
    errors.TooLarge: Problem(413, "Too large"),
    errors.Conflict: Problem(409, "Conflict"),
    errors.KeyRefused: Problem(400, "The key is not allowed"),
    errors.EvidenceRefused: Problem(403, "The evidence is not for this"),
}

_INTERNAL = Problem(500, "Internal error")

log = structlog.stdlib.get_logger(__name__)


def problem_for(error: errors.AdmittanceError) -> Problem:
    """The row of the nearest class. Errors that are not the caller's business give 500."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return _INTERNAL


async def admittance_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for `AdmittanceError`."""
    if not isinstance(error, errors.AdmittanceError):
        raise error
    problem = problem_for(error)
    if problem is _INTERNAL:
        log.error("request_failed", path=request.url.path, error=error.code, exc_info=error)
        return internal_error()
    factors = error.kinds if isinstance(error, errors.FactorRequired) else ()
    return document(problem, code=error.code, detail=str(error), headers=headers_for(error), factors=factors)


async def http_error(_request: Request, error: Exception) -> Response:
    """Starlette's handler for its own refusals: no such route, wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http")
    problem = Problem(error.status_code, str(error.detail))
    return document(problem, code=code, detail=str(error.detail), headers=dict(error.headers or {}))


async def unexpected_error(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for everything else; Starlette then raises the error again."""
    return internal_error()


def internal_error() -> Response:
    """What the caller sees of a failure that is none of theirs."""
    return document(_INTERNAL, code="internal", detail="The server's log tells more.")


def document(
    problem: Problem,
    *,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    factors: tuple[str, ...] = (),
) -> Response:
    """A problem document; `factors` is an extension member (RFC 9457, section 3.2) that only some problems have."""
    content: dict[str, Any] = {
        "type": f"urn:admittance:problem:{code}",
        "title": problem.title,
        "status": problem.status,
        "code": code,
        "detail": detail,
    }
    if factors:
        content["factors"] = factors
    return Uncached(encode_json(content), MEDIA_TYPE, problem.status, headers)


def handlers() -> dict[Any, Any]:
    """For Starlette's `exception_handlers`. `server.guard` logs what `unexpected_error` hides."""
    return {errors.AdmittanceError: admittance_error, HTTPException: http_error, Exception: unexpected_error}


def headers_for(error: errors.AdmittanceError) -> dict[str, str]:
    """The headers that go with an error's problem document."""
    match error:
        case errors.NonceRequired():
            return {"dpop-nonce": error.nonce, "www-authenticate": 'DPoP error="use_dpop_nonce"'}
        case errors.AttestationChallengeRequired():
            return {"oauth-client-attestation-challenge": error.challenge}
        case errors.ScopeMissing():
            return {"www-authenticate": f'DPoP error="insufficient_scope", scope="{error.scope}"'}
        case errors.AuthenticationFailed():
            return {"www-authenticate": "DPoP"}
        case errors.Throttled():
            return {"retry-after": str(error.retry_after_s)}
        case errors.Unavailable():
            return {"retry-after": "5"}
        case errors.ApprovalPending():
            return {"retry-after": "10"}
        case _:
            return {}
