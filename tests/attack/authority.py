"""Who may call which route of which listener: what the server promises, told apart from how it is tested."""

ANYBODY = "anybody"
PASSWORD = "an account's password"
INVITE = "an invite's secret"
CLIENT = "a registered client"
CONFIDENTIAL = "a registered client that proves itself"
TOKEN_GRANT = "a registered client with a code, a refresh token or credentials of its own"
TOKEN_HOLDER = "the client of a token, with the token"
BROWSER = "the browser whose flow it is"
LOGIN = "anybody, as far as a login page"
ACCOUNT = "any account, for itself"
TRUSTED = "a trusted app of any account, for itself"
OWNER = "the device's owner, or an operator"
OWNER_ALONE = "the device's owner"
ASKED = "the account that the device waits for"
TRUSTED_ASKED = "a trusted app of the account that the device waits for"
GIVER = "who gave the grant"
GUEST = "who gave the grant, or was given it"
IN_CBOR = "any account, for itself, in CBOR"
OF_ITS_OWN = "the device's certificate, about its own tokens, in CBOR"
OPERATOR = "an operator"
IDENTITY = "the device's identity key"
CERTIFICATE = "the device's certificate"
ENDORSED = "a TPM that a trusted maker endorsed"
TPM = "the device's TPM, on this connection"
RELAYED = "the device's certificate, with its key, on this connection"
RELAYED_PLAIN = "the same, and the device's channel key"

Route = tuple[str, str, str]
"""Listener, method and path."""

AUTHORITY: dict[Route, str] = {
    ("people", "GET", "/healthz"): ANYBODY,
    ("people", "GET", "/.well-known/admittance"): ANYBODY,
    ("people", "POST", "/api/invites"): OPERATOR,
    ("people", "POST", "/api/invites/accept"): INVITE,
    ("people", "GET", "/.well-known/oauth-authorization-server"): ANYBODY,
    ("people", "GET", "/oauth/keys"): ANYBODY,
    ("people", "POST", "/oauth/authorize-challenge"): PASSWORD,
    ("people", "POST", "/oauth/token"): TOKEN_GRANT,
    ("people", "POST", "/oauth/revoke"): TOKEN_HOLDER,
    ("people", "POST", "/oauth/introspect"): CONFIDENTIAL,
    ("people", "POST", "/oauth/par"): CLIENT,
    ("mtls", "POST", "/oauth/token"): TOKEN_GRANT,
    ("mtls", "POST", "/oauth/revoke"): TOKEN_HOLDER,
    ("mtls", "POST", "/oauth/introspect"): CONFIDENTIAL,
    ("people", "POST", "/oauth/device_authorization"): CLIENT,
    ("people", "GET", "/oauth/authorize"): CLIENT,
    ("people", "GET", "/oauth/device"): LOGIN,
    ("people", "GET", "/oauth/sign-in"): BROWSER,
    ("people", "POST", "/oauth/sign-in"): BROWSER,
    ("people", "GET", "/oauth/device-code"): BROWSER,
    ("people", "POST", "/oauth/device-code"): BROWSER,
    ("people", "GET", "/oauth/consent"): BROWSER,
    ("people", "POST", "/oauth/consent"): BROWSER,
    ("people", "GET", "/api/account"): ACCOUNT,
    ("people", "GET", "/api/networks"): ACCOUNT,
    ("people", "PUT", "/api/networks/{name}"): ACCOUNT,
    ("people", "DELETE", "/api/networks/{name}"): ACCOUNT,
    ("people", "GET", "/api/models"): ACCOUNT,
    ("people", "POST", "/api/presence-codes"): ACCOUNT,
    ("people", "POST", "/api/challenges"): ACCOUNT,
    ("people", "POST", "/api/activations"): ACCOUNT,
    ("people", "GET", "/api/devices"): ACCOUNT,
    ("people", "GET", "/api/devices/{device_id}"): OWNER,
    ("people", "GET", "/api/devices/{device_id}/history"): OWNER,
    ("people", "GET", "/api/devices/{device_id}/consent"): OWNER_ALONE,
    ("people", "PUT", "/api/devices/{device_id}/consent"): OWNER_ALONE,
    ("people", "GET", "/api/devices/{device_id}/readings"): OWNER_ALONE,
    ("people", "GET", "/api/readings"): OPERATOR,
    ("people", "GET", "/api/relay"): OPERATOR,
    ("people", "POST", "/relay/tickets"): OWNER_ALONE,
    ("people", "POST", "/api/grants"): OWNER_ALONE,
    ("people", "GET", "/api/grants"): ACCOUNT,
    ("people", "POST", "/api/grants/accept"): ACCOUNT,
    ("people", "GET", "/api/grants/{grant_id}"): GUEST,
    ("people", "PATCH", "/api/grants/{grant_id}"): GIVER,
    ("people", "DELETE", "/api/grants/{grant_id}"): GIVER,
    ("people", "GET", "/api/grants/{grant_id}/history"): GIVER,
    ("people", "POST", "/ace/token"): IN_CBOR,
    ("people", "POST", "/api/devices/{device_id}/revoke"): OWNER,
    ("people", "POST", "/api/devices/{device_id}/decommission"): OWNER,
    ("people", "POST", "/api/devices/{device_id}/release"): OWNER_ALONE,
    ("people", "POST", "/api/devices/{device_id}/lost"): OWNER_ALONE,
    ("people", "POST", "/api/devices/{device_id}/stolen"): OWNER_ALONE,
    ("people", "POST", "/api/devices/{device_id}/found"): OWNER_ALONE,
    ("people", "POST", "/api/devices/{device_id}/keep"): OWNER_ALONE,
    ("people", "POST", "/api/devices/{device_id}/assign"): OPERATOR,
    ("people", "POST", "/api/devices/{device_id}/release-notice"): OPERATOR,
    ("people", "POST", "/api/enrolment-codes"): TRUSTED,
    ("people", "GET", "/api/enrolments/pending"): ACCOUNT,
    ("people", "POST", "/api/enrolments/{device_id}/approve"): TRUSTED_ASKED,
    ("people", "POST", "/api/enrolments/{device_id}/deny"): ASKED,
    ("people", "GET", "/api/account/factors"): ACCOUNT,
    ("people", "PUT", "/api/account/factors"): TRUSTED,
    ("people", "POST", "/api/account/totp"): TRUSTED,
    ("people", "POST", "/api/account/totp/confirm"): TRUSTED,
    ("people", "DELETE", "/api/account/totp"): TRUSTED,
    ("people", "PUT", "/api/account/phone"): TRUSTED,
    ("people", "POST", "/api/account/phone/confirm"): TRUSTED,
    ("people", "DELETE", "/api/account/phone"): TRUSTED,
    ("people", "POST", "/api/account/trust"): ACCOUNT,
    ("people", "GET", "/d/{device_id}"): ANYBODY,
    ("people", "POST", "/d/{device_id}"): ACCOUNT,
    ("people", "GET", "/crl"): ANYBODY,
    ("people", "POST", "/enrolment/bootstrap"): ANYBODY,
    ("first_contact", "POST", "/enrolment/nonce"): ANYBODY,
    ("first_contact", "POST", "/enrolment/requests"): IDENTITY,
    ("first_contact", "POST", "/enrolment/resets"): IDENTITY,
    ("first_contact", "POST", "/enrolment/login"): IDENTITY,
    ("first_contact", "POST", "/enrolment/tpm/credential"): ENDORSED,
    ("first_contact", "GET", "/enrolment/reachable"): ANYBODY,
    ("first_contact", "GET", "/crl"): ANYBODY,
    ("first_contact", "GET", "/tpm-session/nonce"): ANYBODY,
    ("first_contact", "POST", "/tpm-session/challenge"): ANYBODY,
    ("first_contact", "POST", "/tpm-session"): TPM,
    ("first_contact", "GET", "/device/status"): TPM,
    ("first_contact", "POST", "/device/enrolment-codes"): TPM,
    ("device", "GET", "/device/status"): CERTIFICATE,
    ("device", "POST", "/device/enrolment-codes"): CERTIFICATE,
    ("device", "POST", "/ace/introspect"): OF_ITS_OWN,
}
PAGES: dict[Route, str] = {
    ("people", "GET", path): ANYBODY for path in ("/invite", "/manual", "/static/invite.js", "/static/page.css")
}

UPGRADES: dict[tuple[str, str], str] = {
    ("app_relay", "/relay/{device_id}"): OWNER_ALONE,
    ("device_relay", "/device-relay"): RELAYED,
    ("device_relay_plain", "/device-relay"): RELAYED_PLAIN,
}
"""The WebSockets of the listeners that have nothing else: listener and path."""


def routes_of(*authorities: str) -> list[Route]:
    """The routes that ask for one of these."""
    return [route for route, authority in AUTHORITY.items() if authority in authorities]
