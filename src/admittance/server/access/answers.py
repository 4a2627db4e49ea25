"""Answers of the OAuth endpoints: JSON that no cache keeps, and errors in the form of RFC 6749, section 5.2."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from admittance import errors
from admittance.server.http import reply
from admittance.server.problems import headers_for, problem_for

Handler = Callable[[Request], Awaitable[Response]]

_ERRORS: dict[type[errors.AdmittanceError], tuple[int, str]] = {
    errors.InvalidClient: (401, "invalid_client"),
    errors.OAuthRefused: (400, ""),
    errors.NonceRequired: (400, "use_dpop_nonce"),
    errors.Malformed: (400, "invalid_request"),
    errors.TooLarge: (413, "invalid_request"),
    errors.AuthenticationFailed: (400, "invalid_grant"),
    errors.NotFound: (400, "invalid_target"),
    errors.Expired: (400, "invalid_grant"),
    errors.NotAllowed: (403, "access_denied"),
    errors.Throttled: (429, "temporarily_unavailable"),
    errors.Unavailable: (503, "temporarily_unavailable"),
    errors.Refused: (400, "invalid_request"),
}


def answering(handler: Handler) -> Handler:
    """Answer what `handler` raises in OAuth's form; internal failures stay problem documents."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except errors.AdmittanceError as error:
            refusal = refusal_of(error, is_basic="authorization" in request.headers)
            if refusal is None:
                raise
            return refusal

    return answer


def refusal_of(error: errors.AdmittanceError, *, is_basic: bool = False) -> Response | None:
    """The answer to a request that failed by `error`; None for an internal failure.

    `code` beside `error` is our own, finer word.
    """
    row = next((_ERRORS[kind] for kind in type(error).__mro__ if kind in _ERRORS), None)
    if row is None or problem_for(error).status == 500:
        return None
    status, name = row
    headers = {key: value for key, value in headers_for(error).items() if key != "www-authenticate"}
    if isinstance(error, errors.InvalidClient) and is_basic:
        headers["www-authenticate"] = 'Basic realm="admittance", charset="UTF-8"'
    content = {"error": name or error.code, "error_description": describe(error), "code": error.code}
    return reply(content, status, headers)


def describe(error: errors.AdmittanceError) -> str:
    """`error_description`: printable ASCII without quotes and backslashes (RFC 6749, section 5.2)."""
    return "".join(
        character if " " <= character <= "~" and character not in '"\\' else "'" for character in str(error)
    )
