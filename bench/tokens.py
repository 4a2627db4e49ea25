"""What an access token costs the authorization server, beside npm's oidc-provider and beside bare signing.

Both servers give ES256 JWTs for client credentials (`client_secret_basic`) over TLS, look their client up in SQLite
at each request, and run on one core; wrk asks from the other, over eight connections, in turn. Neither stores JWTs.

- `tokens_over_oidc_provider`: tokens a CPU-second of the server over oidc-provider's, median of rounds.
- `tokens_over_bare_signing`: the same over bare ES256 signatures a CPU-second, in this process.
- `tokens_per_cpu_s`, `oidc_provider_per_cpu_s`, `signatures_per_cpu_s`: what the ratios are made of.
- `tokens_per_s`, `p50_ms`, `p99_ms`, `oidc_provider_p99_ms`: by the clock on the wall.
- `introspections_per_cpu_s`: RFC 7662, of a token that is active.

And what a token costs where it is for a device: the figures of `bench.device_access`, at the device, and of
`bench.grants`, at a server with many grants.
"""

import json
import ssl
import statistics
import tempfile
import time
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench import device_access, grants
from bench.load.token_servers import CLIENT_ID, SCOPE, TokenServer, oidc_provider, our_server
from bench.load.wrk import Load, post_forms

ROUNDS = 5
ROUND_S = 3
SIGNATURES = 2000
_BODY = f"grant_type=client_credentials&scope={SCOPE}"


@dataclass(frozen=True)
class Round:
    """`rate` is requests a CPU-second of the server."""

    rate: float
    load: Load


def run() -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        our_server(Path(folder) / "ours") as ours,
        oidc_provider(Path(folder) / "peer") as peer,
    ):
        for server in (ours, peer):
            _asked(server, server.token_path, _BODY, Path(folder))
        pairs = [
            tuple(_asked(server, server.token_path, _BODY, Path(folder)) for server in (ours, peer))
            for _ in range(ROUNDS)
        ]
        body = f"token={_token(ours)}"
        introspected = [_asked(ours, ours.introspection_path, body, Path(folder)) for _ in range(ROUNDS)]
    rate, peer_rate = (statistics.median(pair[which].rate for pair in pairs) for which in (0, 1))
    signatures = _signatures_per_cpu_s()
    return {
        "tokens_over_oidc_provider": statistics.median(mine.rate / other.rate for mine, other in pairs),
        "tokens_over_bare_signing": rate / signatures,
        "tokens_per_cpu_s": rate,
        "oidc_provider_per_cpu_s": peer_rate,
        "signatures_per_cpu_s": signatures,
        "tokens_per_s": statistics.median(mine.load.requests / mine.load.seconds for mine, _ in pairs),
        "p50_ms": statistics.median(mine.load.p50_s for mine, _ in pairs) * 1000,
        "p99_ms": statistics.median(mine.load.p99_s for mine, _ in pairs) * 1000,
        "oidc_provider_p99_ms": statistics.median(other.load.p99_s for _, other in pairs) * 1000,
        "introspections_per_cpu_s": statistics.median(each.rate for each in introspected),
        **device_access.run(),
        **grants.run(),
    }


def _asked(server: TokenServer, path: str, body: str, folder: Path) -> Round:
    before = server.process.cpu_s()
    load = post_forms(f"{server.origin}{path}", body, CLIENT_ID, server.client_secret, folder, ROUND_S)
    return Round(load.requests / (server.process.cpu_s() - before), load)


def _token(server: TokenServer) -> str:
    credentials = b64encode(f"{CLIENT_ID}:{server.client_secret}".encode()).decode()
    request = urllib.request.Request(
        f"{server.origin}{server.token_path}", _BODY.encode(), {"Authorization": f"Basic {credentials}"}
    )
    with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:
        token: str = json.load(answer)["access_token"]
    return token


def _signatures_per_cpu_s() -> float:
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    began = time.process_time()
    for _ in range(SIGNATURES):
        key.sign(b"header.claims", algorithm)
    return SIGNATURES / (time.process_time() - began)
