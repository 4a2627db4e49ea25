import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from admittance.server.logs import REDACTED, Secret, configure_logs, redact


@pytest.fixture
def stream(logging_restored: None) -> io.StringIO:
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    return stream


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passphrase",
        "new_password",
        "token",
        "access_token",
        "ticket",
        "seal_key",
        "Authorization",
        "set-cookie",
        "dpop",
        "pop",
        "presence_key",
        "client_secret",
        "body",
        "code",
        "challenge",
    ],
)
def test_fields_named_like_secrets_are_redacted(stream: io.StringIO, name: str) -> None:
    structlog.stdlib.get_logger("x").info("event", **{name: "hunter2-hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert json.loads(stream.getvalue())[name] == REDACTED


@pytest.mark.parametrize("name", ["status_code", "device_id", "path", "key_id"])
def test_harmless_fields_are_kept(stream: io.StringIO, name: str) -> None:
    structlog.stdlib.get_logger("x").info("event", **{name: "value"})
    assert json.loads(stream.getvalue())[name] == "value"


def test_wrapped_secrets_and_bytes_never_show(stream: io.StringIO) -> None:
    secret = Secret("hunter2")
    structlog.stdlib.get_logger("x").info(f"{secret}", harmless=secret, raw=b"hunter2", nested={"a": [secret]})
    logging.getLogger("y").warning("%s %r", secret, secret)
    assert "hunter2" not in stream.getvalue()
    assert secret.reveal() == "hunter2"


def test_nested_names_are_redacted(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("x").info("event", request={"headers": [{"authorization": "hunter2"}]})
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: DPoP hunter2hunter2",
        "got bearer hunter2hunter2",
        "postgresql://user:hunter2@host/db",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "jwt eyJhbGciOiJIUzI1NiJ9.hunter2hunter2.hunter2",
    ],
)
def test_credentials_inside_text_are_redacted(stream: io.StringIO, text: str) -> None:
    structlog.stdlib.get_logger("x").info("event", detail=text)
    logging.getLogger("foreign").warning(text)
    assert "hunter2" not in stream.getvalue()


def test_credentials_inside_tracebacks_are_redacted(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("postgresql://user:hunter2@host/db")
    except RuntimeError as error:
        structlog.stdlib.get_logger("x").error("failed", exc_info=error)
        logging.getLogger("foreign").error("failed", exc_info=error)
    assert "hunter2" not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


def test_level_is_respected(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("x").debug("quiet")
    assert stream.getvalue() == ""


def test_console_form_is_text(logging_restored: None) -> None:
    stream = io.StringIO()
    configure_logs("console", "info", stream)
    structlog.stdlib.get_logger("x").info("hello", token="hunter2")
    assert "hello" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


scalars = st.none() | st.integers() | st.text() | st.binary()


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_anything_can_be_logged(value: object) -> None:
    json.dumps(redact(None, "info", {"field": value}))
