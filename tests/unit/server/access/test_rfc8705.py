"""What is registered and said of clients that prove themselves by certificates."""

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from admittance.errors import Malformed
from admittance.server.access import model
from admittance.server.access.clients import check
from admittance.server.access.model import Client
from tests.client_certificates import key_usage, made_certificate
from tests.unit.server.access.conftest import OAuth, public, with_certificate


async def test_without_the_listener_nothing_is_said_of_certificates(oauth: OAuth) -> None:
    found = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    assert not {"mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens"} & set(found)
    assert model.SELF_SIGNED not in found["token_endpoint_auth_methods_supported"]
    await oauth.add(with_certificate(made_certificate()))
    form = {"grant_type": "client_credentials", "client_id": "reports"}
    refused = await oauth.post("/oauth/token", form, proven=False)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_certificate_is_stored_on_each_database(on_each_database: OAuth) -> None:
    registered = with_certificate(made_certificate())
    await on_each_database.add(registered)
    assert await on_each_database.access.clients.find("reports") == registered


GOOD = with_certificate(made_certificate())
LARGE = x509.SubjectAlternativeName([x509.DNSName(f"host-{number}.example") for number in range(600)])


@pytest.mark.parametrize(
    "client",
    [
        replace(GOOD, certificate=None),
        replace(GOOD, certificate=b""),
        replace(GOOD, certificate=bytes(200)),
        replace(GOOD, certificate=(GOOD.certificate or b"") + b"x"),
        replace(GOOD, authentication="client_secret_basic"),
        public(certificate=GOOD.certificate),
        replace(GOOD, grants=frozenset({model.DEVICE_CODE})),
        replace(GOOD, grants=frozenset({model.EXCHANGE})),
        with_certificate(made_certificate(key=rsa.generate_private_key(65537, 1024))),
        with_certificate(made_certificate(key=ec.generate_private_key(ec.SECP256K1()))),
        with_certificate(made_certificate(extensions=(key_usage(signs=False),))),
        with_certificate(made_certificate(extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),))),
        with_certificate(made_certificate(extensions=(LARGE,))),
        with_certificate(made_certificate(issuer=made_certificate("authority", is_ca=True))),
        with_certificate(made_certificate(issuer=made_certificate())),
    ],
)
def test_what_would_not_prove_a_client_is_not_registered(client: Client) -> None:
    with pytest.raises(Malformed):
        check(client)
