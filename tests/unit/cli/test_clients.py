"""`admit clients`, beside a server's own database and keys."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey

from admittance.cli import main
from admittance.server.access.model import certificate_thumbprint
from tests.client_certificates import made_certificate


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "admittance.toml"
    path.write_text('[server]\ndata_dir = "data"\n')
    return path


def run(config: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(main, ["clients", *arguments, "--config", str(config), "--json"])
    lines = (done.stdout or done.stderr).strip().splitlines()
    return done.exit_code, json.loads(lines[-1])


def test_a_client_is_added_listed_and_removed(config: Path) -> None:
    options = ("--redirect-uri", "http://127.0.0.1/cb", "--scope", "devices account", "--id", "garden")
    assert run(config, "add", "Garden", *options) == (0, {"client_id": "garden"})
    code, listed = run(config, "list")
    assert (code, listed["clients"]) == (
        0,
        [
            {
                "client_id": "garden",
                "name": "Garden",
                "authentication": "none",
                "grants": ["authorization_code", "refresh_token"],
                "redirect_uris": ["http://127.0.0.1/cb"],
                "scope": "account devices",
                "audiences": [],
            }
        ],
    )
    assert run(config, "remove", "garden") == (0, {"client_id": "garden", "sessions_ended": 0})
    assert run(config, "list")[1] == {"clients": []}
    code, refused = run(config, "remove", "garden")
    assert (code, refused["error"]) == (5, "not_found")


def test_a_secret_is_shown_once(config: Path) -> None:
    options = ("--authentication", "client_secret_basic", "--grant", "client_credentials", "--scope", "reports")
    code, added = run(config, "add", "Reports", *options, "--audience", "https://reports.example")
    assert code == 0
    assert len(added["client_secret"]) == 43
    assert added["client_secret"] not in json.dumps(run(config, "list")[1])


def test_a_client_signs_with_the_keys_of_a_file(config: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    options = ("--authentication", "private_key_jwt", "--grant", "client_credentials", "--scope", "reports")
    keys.write_text("no keys")
    assert run(config, "add", "Signer", *options, "--keys-file", str(keys))[1]["error"] == "malformed"
    keys.write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}))
    assert run(config, "add", "Signer", *options, "--keys-file", str(keys))[0] == 0


def test_a_client_proves_itself_by_the_certificate_of_a_file(config: Path, tmp_path: Path) -> None:
    path, own = tmp_path / "reports.pem", made_certificate()
    options = (
        "--authentication",
        "self_signed_tls_client_auth",
        "--grant",
        "client_credentials",
        "--scope",
        "reports",
    )
    assert run(config, "add", "Reports", *options)[1]["error"] == "malformed"
    for content in ("", "no certificate", own.pem + made_certificate().pem):
        path.write_text(content)
        assert run(config, "add", "Reports", *options, "--certificate-file", str(path))[1]["error"] == "malformed"
    path.write_text(own.pem)
    assert run(config, "add", "Reports", *options, "--id", "reports", "--certificate-file", str(path)) == (
        0,
        {"client_id": "reports"},
    )
    (listed,) = run(config, "list")[1]["clients"]
    assert listed["x5t#S256"] == certificate_thumbprint(own.der)


def test_what_would_not_be_safe_is_refused_with_the_reason(config: Path) -> None:
    code, refused = run(config, "add", "App", "--redirect-uri", "http://app.example/cb", "--scope", "devices")
    assert (code, refused["error"]) == (9, "malformed")
    assert "redirect URI" in refused["detail"]


def test_the_next_signing_key_is_announced(config: Path) -> None:
    run(config, "list")
    code, rolled = run(config, "roll-key", "--notice-s", "600")
    assert (code, list(rolled)) == (0, ["signs_from"])
    code, refused = run(config, "roll-key")
    assert (code, refused["error"]) == (6, "configuration")
