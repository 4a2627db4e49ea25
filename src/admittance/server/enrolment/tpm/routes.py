"""Credential challenges and TPM sessions on the first-contact listener."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from admittance.errors import AuthenticationFailed
from admittance.server.connection import Connection, connection_of
from admittance.server.enrolment.tpm.credentials import Credentials
from admittance.server.enrolment.tpm.sessions import TpmSessions
from admittance.server.http import cbor_body, cbor_reply
from admittance.wire.tpm_enrolment import ConnectionNonce, CredentialRequest, SessionChallengeRequest, SessionProof

MAX_CREDENTIAL_REQUEST_BYTES = 20 * 1024


def routes(*, credentials: Credentials, sessions: TpmSessions) -> list[Route]:
    async def credential(request: Request) -> Response:
        asked = await cbor_body(request, CredentialRequest, MAX_CREDENTIAL_REQUEST_BYTES)
        return cbor_reply(await credentials.challenge(asked), status=201)

    async def nonce(request: Request) -> Response:
        return cbor_reply(ConnectionNonce(sessions.nonce(_connection(request))))

    async def challenge(request: Request) -> Response:
        asked = await cbor_body(request, SessionChallengeRequest)
        return cbor_reply(await sessions.challenge(_connection(request), asked.device_id), status=201)

    async def prove(request: Request) -> Response:
        proof = await cbor_body(request, SessionProof)
        source = request.client.host if request.client else "unknown"
        await sessions.prove(_connection(request), proof, source)
        return Response(status_code=204)

    return [
        Route("/enrolment/tpm/credential", credential, methods=["POST"]),
        Route("/tpm-session/nonce", nonce, methods=["GET"]),
        Route("/tpm-session/challenge", challenge, methods=["POST"]),
        Route("/tpm-session", prove, methods=["POST"]),
    ]


def _connection(request: Request) -> Connection:
    connection = connection_of(request.scope)
    if connection is None:
        raise AuthenticationFailed("A TPM session needs a TLS connection of its own.")
    return connection
